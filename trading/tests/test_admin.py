"""The admin shows money and orders, and changes none of it."""

import pytest
from django.test import Client
from django_otp import DEVICE_ID_SESSION_KEY

from accounts.models import Balance, LedgerEntry, TradingAccount, User
from accounts.services.second_factor import totp_begin
from marketdata.services.seed import reference_seed
from trading.models import Execution, Order

pytestmark = pytest.mark.django_db
READ_ONLY = (
    "trading/order", "trading/execution", "accounts/ledgerentry", "accounts/balance", "accounts/deposit", "accounts/withdrawal",
    "accounts/tradingaccount", "accounts/tradingaccountmember", "risk/position", "trading/projectionstate", "platform/outboxevent",
    "marketdata/asset", "marketdata/venue",
)  # fmt: skip


@pytest.fixture
def admin() -> Client:
    reference_seed(demo=True)
    order = {
        "core_account": 1, "core_instrument": 1, "cl_ord_id": "c", "side": 1, "ord_type": 2, "time_in_force": 1, "price": 6_400_000, "order_qty": 5,
        "leaves_qty": 5, "cum_qty": 0, "ord_status": 0, "created_ns": 10**18, "updated_ns": 10**18,
    }  # fmt: skip
    for number in range(1, 40):
        # Numbers of accounts never change: once seen they cost no query.
        TradingAccount.objects.create(number=f"A{number:06d}", core_account=number)
        Order.objects.create(order_id=number, entry_seq=number, seq=number, **order)
        Balance.objects.create(core_account=number, core_asset=1, available=1_500_000, held=0, seq=1)
        LedgerEntry.objects.create(
            id=number * 16,
            entry_seq=number,
            cmd_seq=number,
            leg=0,
            book=1,
            core_account=1,
            core_asset=1,
            amount=1_500_000,
            kind=4,
            time_ns=10**18,
        )
        Execution.objects.create(
            exec_id=number, order_id=number, contra_order_id=0, core_account=1, core_instrument=1, side=1, last_px=6_400_000, last_qty=1, fee=1,
            fee_core_asset=1, liquidity="t", leaves_qty=0, cum_qty=1, cmd_seq=1, time_ns=10**18,
        )  # fmt: skip
    client = Client()
    root = User.objects.create_superuser("root@example.test", "x")
    client.force_login(root, backend="django.contrib.auth.backends.ModelBackend")
    session = client.session
    device = totp_begin(user=root)
    device.confirmed = True
    device.save(update_fields=["confirmed"])
    session[DEVICE_ID_SESSION_KEY] = device.persistent_id
    session.save()
    return client


@pytest.mark.parametrize("model", READ_ONLY)
def test_pages_are_read_only(admin: Client, model: str) -> None:
    assert admin.get(f"/admin/{model}/").status_code == 200
    assert admin.get(f"/admin/{model}/add/").status_code == 403


def test_an_order_page_opens_but_takes_no_post(admin: Client) -> None:
    assert admin.get("/admin/trading/order/1/change/").status_code == 200
    assert admin.post("/admin/trading/order/1/change/", {"price": 1}).status_code == 403
    assert admin.post("/admin/trading/order/1/delete/", {"post": "yes"}).status_code == 403
    assert Order.objects.get(pk=1).price == 6_400_000


@pytest.mark.parametrize("model", ["trading/order", "trading/execution", "accounts/ledgerentry", "accounts/balance"])
@pytest.mark.usefixtures("remembered")
def test_a_list_page_stays_within_its_query_budget(
    admin: Client, model: str, django_assert_max_num_queries: object
) -> None:
    admin.get(f"/admin/{model}/")
    with django_assert_max_num_queries(14):  # type: ignore[operator]
        admin.get(f"/admin/{model}/")


def test_numbers_are_shown_as_decimals_and_exported(admin: Client) -> None:
    assert b"64000.00" in admin.get("/admin/trading/order/").content
    answer = admin.post(
        "/admin/accounts/balance/", {"action": "export_csv", "_selected_action": [Balance.objects.first().pk]}
    )
    text = b"".join(answer.streaming_content).decode()
    assert text.splitlines()[0] == "account,asset,available_text,held_text,seq"
    assert "1.500000 USD" in text


def test_a_listing_that_is_not_exact_is_refused_with_the_field(admin: Client) -> None:
    from marketdata.models import Asset, Instrument, Venue

    form = {
        "symbol": "BAD", "name": "Bad", "kind": "margin", "asset_class": "fx", "quote": Asset.objects.get(code="USD").pk,
        "venue": Venue.objects.get(mic="DEMO").pk, "tick_size": "0.0000001", "lot_size": "0.01", "reference_price": 1, "min_qty": 1, "max_qty": 0,
        "max_notional": 0, "collar_ppm": 0, "maker_ppm": 0, "taker_ppm": 0, "margin_ppm": 50_000, "core_instrument": 99, "state": "active",
    }  # fmt: skip
    answer = admin.post("/admin/marketdata/instrument/add/", form)
    assert answer.status_code == 200
    assert b"must be whole" in answer.content
    assert not Instrument.objects.filter(symbol="BAD").exists()


def test_strangers_do_not_get_in() -> None:
    client = Client()
    answer = client.get("/admin/trading/order/")
    assert (answer.status_code, answer["Location"]) == (302, "/signin?next=%2Fadmin%2Ftrading%2Forder%2F")
    client.force_login(
        User.objects.create_user("client@example.test", "x"), backend="django.contrib.auth.backends.ModelBackend"
    )
    assert client.get("/admin/trading/order/").status_code == 403
