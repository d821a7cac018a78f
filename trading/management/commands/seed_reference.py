"""``manage.py seed_reference``: reference data, the house account, the roles of staff and, in the demo, the demo logins. Idempotent."""

from django.contrib.auth.models import Group
from django.core.management.base import BaseCommand
from django.db import transaction

from accounts.models import TradingAccount, User
from accounts.roles import ADMINISTRATOR, COMPLIANCE, DEALER
from accounts.services.roles import roles_sync
from accounts.services.rules import disclosures_accept
from accounts.services.trading_accounts import account_open
from accounts.trading_policy import trading_policy
from brokerage.config import get_config
from brokerage.kernel.clock import utc_now
from marketdata.services.seed import reference_seed

DEMO_PASSWORD = "demo-Pass-2026"  # noqa: S105 - printed at every start of the demo
#: e-mail, name, trades?, groups; the administrator is a superuser.
DEMO_USERS = (
    ("investor@demo.test", "Ines Investor", True, ()),
    ("investor2@demo.test", "Ivo Investor", True, ()),
    ("dealer@demo.test", "Dana Dealer", False, (DEALER,)),
    ("compliance@demo.test", "Cleo Compliance", False, (COMPLIANCE,)),
    ("compliance2@demo.test", "Cora Compliance", False, (COMPLIANCE,)),
    ("admin@demo.test", "Ada Administrator", False, (ADMINISTRATOR,)),
)


class Command(BaseCommand):
    """Seed a new installation."""

    help = __doc__
    requires_system_checks = ()

    def handle(self, *args: object, **options: object) -> None:
        """Make what is missing."""
        config = get_config()
        listed = reference_seed(demo=config.demo)
        TradingAccount.objects.get_or_create(
            core_account=0,
            defaults={"number": "HOUSE", "kind": TradingAccount.Kind.HOUSE, "status": TradingAccount.Status.ACTIVE},
        )
        roles_sync()
        if config.demo:
            for email, name, trades, groups in DEMO_USERS:
                self._demo_user(email, name, trades, groups)
        self.stdout.write(f"{listed} instruments listed")

    @transaction.atomic
    def _demo_user(self, email: str, name: str, trades: bool, groups: tuple[str, ...]) -> None:
        if User.objects.filter(email=email).exists():
            return
        admin = ADMINISTRATOR in groups
        user = User.objects.create_user(
            email, DEMO_PASSWORD, display_name=name, country="GB", is_staff=bool(groups), is_superuser=admin,
            kyc_tier=3 if trades else 0, trading_allowed=trades, email_confirmed_at=utc_now(), right_answers=3 if trades else None,
        )  # fmt: skip
        user.groups.set(Group.objects.filter(name__in=groups))
        if trades:
            disclosures_accept(user=user, codes=list(trading_policy().disclosures))
            account_open(user=user)
