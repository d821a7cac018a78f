"""Django app: Who someone is and what they own: users, trading accounts, ledger, funding."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """The accounts app."""

    name = "accounts"
    verbose_name = "Accounts"

    def ready(self) -> None:
        """Tell the authentication below how to ask about credentials kept here."""
        from accounts.selectors.credentials import family_lives, key_record
        from accounts.selectors.factors import second_factor_enrolled
        from accounts.services.api_keys import api_key_touch
        from brokerage.platform.blind import index_column_register
        from brokerage.platform.policy_doors import factor_lookup_register
        from brokerage.platform.signing import key_lookup_register
        from brokerage.platform.tokens import family_lookup_register

        index_column_register("accounts_recoverycode", "digest")
        factor_lookup_register(second_factor_enrolled)
        family_lookup_register(family_lives)
        key_lookup_register(key_record, api_key_touch)
