"""Django app: Work done by staff: roles, desks, approvals by two, clients, looking as a client."""

from django.apps import AppConfig


class BackOfficeConfig(AppConfig):
    """The backoffice app."""

    name = "backoffice"
    verbose_name = "Back office"

    def ready(self) -> None:
        """Listen, and fence the admin's lists: the admin's base is below and cannot ask upward."""
        from backoffice import handlers  # noqa: F401
        from backoffice.selectors.clients import core_accounts_of_staff
        from brokerage.platform.admin_base import account_scope_set

        account_scope_set(core_accounts_of_staff)
