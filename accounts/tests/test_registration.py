"""Registration is neutral, opens one account and mails; deposits count once; hashes are Argon2id."""

from dataclasses import dataclass
from decimal import Decimal

import pytest
from django.contrib.auth.hashers import check_password, identify_hasher, make_password
from django.contrib.auth.password_validation import validate_password
from django.core import mail
from django.core.exceptions import ValidationError
from django.test import Client

from accounts.house_words import leans_on_house
from accounts.models import Deposit, TradingAccount, TradingAccountMember, User
from accounts.services.funding import deposit_confirm
from accounts.services.registration import first_account_open, user_register
from accounts.services.trading_accounts import account_open
from brokerage.kernel.errors import UnitsError
from brokerage.platform.models import OutboxEvent

PASSWORD = "correct-Horse-battery-9"
pytestmark = pytest.mark.django_db(transaction=True)


def test_a_new_user_gets_a_mail_and_with_the_first_sign_in_one_pending_account() -> None:
    user_register(email="New@Example.test", password=PASSWORD, display_name="New", country="GB")
    user = User.objects.get(email__iexact="new@example.test")
    assert [message.subject for message in mail.outbox] == ["Welcome"]
    assert not TradingAccount.objects.exists()
    for _ in range(2):
        assert Client().post("/signin", {"email": user.email, "password": PASSWORD}).status_code == 302
    account = TradingAccount.objects.get(owner=user)
    assert (account.status, account.kind) == ("pending", "individual")
    assert TradingAccountMember.objects.get(account=account).role == "owner"
    assert OutboxEvent.objects.get(topic="account.opened").key == account.number
    assert user.check_password(PASSWORD)


def test_two_first_sign_ins_open_one_account() -> None:
    user_register(email="new@example.test", password=PASSWORD)
    first, second = User.objects.get(), User.objects.get()
    first_account_open(first)
    first_account_open(second)
    assert TradingAccount.objects.get().core_account == 1


@pytest.mark.parametrize("again", ["new@example.test", "NEW@EXAMPLE.TEST"])
def test_a_known_address_changes_nothing(again: str) -> None:
    user_register(email="new@example.test", password=PASSWORD)
    before = User.objects.get().password
    user_register(email=again, password="another-Good-word-77")
    assert User.objects.get().password == before
    assert User.objects.count() == 1


@pytest.mark.parametrize(
    ("_case", "password"),
    [
        ("short", "aB3-x"),
        ("common", "password1234"),
        ("digits in a row", "1234567890"),
        ("words of the house", "Brokerage-BTC-1"),
        ("like the address", "newexample"),
    ],
)  # fmt: skip
def test_weak_passwords_are_refused_before_the_address_is_looked_at(_case: str, password: str) -> None:
    with pytest.raises(ValidationError):
        user_register(email="newexample@example.test", password=password)
    assert not User.objects.exists()


@pytest.mark.parametrize("password", ["948271635072", "    twelve blanks    ", "только буквы", "aaabbbcccddde"])
def test_no_kind_of_character_is_asked_for(password: str) -> None:
    validate_password(password, User(email="newexample@example.test"))


@pytest.mark.parametrize(
    ("password", "refused"),
    [
        ("brokerage2026!", True), ("Br0k3rage-2026", True), ("bitcoin_ETH_sol", True), ("BrokerageTrading1", True),
        ("localhost-12345", True), ("internationalbusinessmachines", True), ("tradertrader", True),
        ("Brokerage Horse 77", False), ("absolutely-dashed", False), ("a market of quiet violins", False),
    ],
)  # fmt: skip
def test_passwords_made_of_words_of_the_house_are_refused(password: str, refused: bool) -> None:
    assert leans_on_house(password) is refused
    if refused:
        with pytest.raises(ValidationError):
            validate_password(password, User(email="newexample@example.test"))


def test_core_numbers_are_dense() -> None:
    users = [User.objects.create_user(f"u{number}@example.test") for number in range(3)]
    assert [account_open(user=user).core_account for user in users] == [1, 2, 3]


def test_passwords_are_argon2id_and_older_hashes_still_work(settings: pytest.FixtureRequest) -> None:
    from brokerage.settings import base

    settings.PASSWORD_HASHERS = base.PASSWORD_HASHERS
    hashed = make_password(PASSWORD)
    assert hashed.startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")
    for hasher in ("bcrypt_sha256", "scrypt", "pbkdf2_sha256"):
        old = make_password(PASSWORD, hasher=hasher)
        assert check_password(PASSWORD, old)
        assert identify_hasher(old).algorithm == hasher


@dataclass
class Asset:
    """What a deposit needs of an asset; the table is a layer above."""

    code: str = "USD"
    scale: int = 6
    core_asset: int = 1


@pytest.fixture
def usd() -> Asset:
    return Asset()


def test_a_deposit_with_the_same_reference_counts_once(usd: Asset) -> None:
    account = account_open(user=User.objects.create_user("d@example.test"))
    first = deposit_confirm(account=account, asset=usd, amount=Decimal("100.5"), reference="bank-1")
    again = deposit_confirm(account=account, asset=usd, amount=Decimal("100.5"), reference="bank-1")
    assert first.pk == again.pk
    assert Deposit.objects.get().amount == 100_500_000
    assert OutboxEvent.objects.filter(topic="deposit.confirmed").count() == 1


@pytest.mark.parametrize(
    ("_case", "amount"),
    [("too many decimals", Decimal("0.0000001")), ("not a number", Decimal("NaN")), ("huge", Decimal("1e30"))],
)
def test_a_deposit_the_asset_cannot_carry_is_refused(usd: Asset, _case: str, amount: Decimal) -> None:
    account = account_open(user=User.objects.create_user("d@example.test"))
    with pytest.raises(UnitsError):
        deposit_confirm(account=account, asset=usd, amount=amount, reference="bank-2")
    assert not Deposit.objects.exists()


def test_the_mails_say_what_happened() -> None:
    from accounts.tasks import mail_registered

    user = User.objects.create_user("m@example.test", display_name="Mia")
    mail_registered(str(user.pk), known=False)
    mail_registered(str(user.pk), known=True)
    assert [message.subject for message in mail.outbox] == ["Welcome", "You already have an account"]
    assert all(message.to == ["m@example.test"] for message in mail.outbox)
