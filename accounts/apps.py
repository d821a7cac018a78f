"""Django app: Who someone is and what they own: users, trading accounts, ledger, funding."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """The accounts app."""

    name = "accounts"
    verbose_name = "Accounts"
