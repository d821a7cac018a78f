"""Django app: Who someone is and what they own: users, trading accounts, ledger, funding."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """The accounts app."""

    name = "accounts"
    verbose_name = "Accounts"

    def ready(self) -> None:
        """Tell the authentication below how to ask about credentials kept here."""
        from accounts.selectors.credentials import family_lives
        from brokerage.platform.tokens import family_lookup_register

        family_lookup_register(family_lives)
