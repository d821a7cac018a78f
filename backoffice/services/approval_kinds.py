"""What can be asked for and what happens when it is approved: one class a kind.

``check`` reads what was asked, refuses what cannot be, and says how things are before. ``execute`` runs once, in the transaction of the
decision; what the engine must do is an event of that transaction (``backoffice/handlers.py``), idempotent by the request's id.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from django.db import transaction

from accounts.models import TradingAccount, User, Withdrawal
from accounts.selectors.access import accounts_forget
from accounts.selectors.factors import factors_of
from accounts.services.beneficiaries import destination_of
from accounts.services.funding import deposit_confirm, deposit_demand
from accounts.services.rules import money_text, staff_limits_set
from accounts.services.second_factor import factors_reset
from accounts.services.withdrawals import approvable_demand, flags_of, withdrawal_approve
from backoffice.models import Approval
from backoffice.selectors.clients import account_for_staff, client_of_staff
from backoffice.services.access import role_change_preview, role_demand, role_grant
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.kernel.units import minor_from_amount
from brokerage.platform.jobs import enqueue
from brokerage.platform.outbox import emit
from marketdata.selectors.instruments import AssetRef, asset_by_code
from trading.services.account_control import OPEN_ORDERS_MAX, STATES

#: Characters that say where the proof of a client's identity is kept.
EVIDENCE_MIN = 8
Payload = dict[str, Any]
Checked = tuple[str, Payload, Payload]


class Kind:
    """One kind of request. ``request`` and ``approve`` name the permissions."""

    label = ""
    request = ""
    approve = ""

    def check(self, maker: Any, subject: str, payload: Mapping[str, Any]) -> Checked:
        """(subject, what is asked, how it is now); RejectedError for what cannot be."""
        raise NotImplementedError

    def requested(self, approval: Approval) -> None:
        """What else happens when it is asked for, in that transaction; mostly nothing."""

    def execute(self, approval: Approval, checker: Any) -> str:
        """Do it; a sentence about the result."""
        raise NotImplementedError

    def owner_id(self, approval: Approval) -> str:
        """Id of the person whose money or access it is: they may not decide."""
        return str(TradingAccount.objects.get(number=approval.subject).owner_id)


def _only(payload: Mapping[str, Any], *names: str) -> None:
    unknown = sorted(set(payload) - set(names))
    if unknown:
        raise RejectedError(
            RejectCode.UNKNOWN_FIELD, f"There is no field {unknown[0][:40]!r} here.", field=unknown[0][:40]
        )
    for name in names:
        if payload.get(name) in (None, ""):
            raise RejectedError(RejectCode.MISSING_FIELD, field=name)


def _money(payload: Mapping[str, Any]) -> tuple[AssetRef, int]:
    asset = asset_by_code(str(payload["asset"]).upper())
    if asset is None:
        raise RejectedError(RejectCode.MALFORMED, "There is no such asset.", field="asset")
    try:
        amount = Decimal(str(payload["amount"]))
    except InvalidOperation as error:
        raise RejectedError(RejectCode.NOT_A_NUMBER, needed="a decimal number", field="amount") from error
    minor = minor_from_amount(amount, asset.scale)
    if minor <= 0:
        raise RejectedError(RejectCode.BAD_AMOUNT, field="amount")
    return asset, minor


class _MoneyKind(Kind):
    request, approve = "backoffice.request_money", "backoffice.approve_money"

    def check(self, maker: Any, subject: str, payload: Mapping[str, Any]) -> Checked:
        account = account_for_staff(maker, subject)
        _only(payload, "asset", "amount")
        asset, minor = _money(payload)
        return account.number, {"asset": asset.code, "amount": asset.money(minor)}, {}


class Deposit(_MoneyKind):
    """Money that arrived outside the gateways."""

    label = "Deposit by hand"

    def check(self, maker: Any, subject: str, payload: Mapping[str, Any]) -> Checked:
        """As for all money, and within what the client's tier allows; looked at again when it is approved."""
        number, asked, before = super().check(maker, subject, payload)
        asset, minor = _money(asked)
        with transaction.atomic():
            account = TradingAccount.objects.select_related("parent").get(number=number)
            deposit_demand(account=account, asset=asset.code, minor=minor)
        return number, asked, before

    def execute(self, approval: Approval, checker: Any) -> str:
        """Through the same service as every deposit; the request's id is the payer's reference."""
        account = TradingAccount.objects.get(number=approval.subject)
        asset, minor = _money(approval.payload)
        deposit_demand(account=account, asset=asset.code, minor=minor)
        deposit = deposit_confirm(
            account=account,
            asset=asset,
            amount=Decimal(approval.payload["amount"]),
            reference=f"approval-{approval.pk}",
        )
        return f"deposit {deposit.pk} recorded; the engine credits it"


class Debit(_MoneyKind):
    """A correction that takes available money."""

    label = "Debit by hand"

    def execute(self, approval: Approval, checker: Any) -> str:
        """The engine decides whether so much is available."""
        account = TradingAccount.objects.get(number=approval.subject)
        asset, minor = _money(approval.payload)
        emit("account.debit_approved", approval.pk, {
            "core_account": account.core_account, "core_asset": asset.core_asset, "minor": str(minor),
        })  # fmt: skip
        return "sent to the engine"


class Payout(_MoneyKind):
    """Money a client asked to be paid out, where one pair of eyes is not enough. The subject is the withdrawal's id."""

    label = "Payout to a client"

    def check(self, maker: Any, subject: str, payload: Mapping[str, Any]) -> Checked:
        """It is held, of a client one may see, and nothing forbids it now; looked at again when it is approved."""
        _only(payload)
        row = (
            Withdrawal.objects.select_related("account__owner", "account__parent", "beneficiary__account")
            .filter(pk=subject)
            .first()
        )
        if row is None:
            raise RejectedError(RejectCode.NOT_FOUND, "There is no such withdrawal.", field="subject")
        account_for_staff(maker, row.account.number)
        if row.status != Withdrawal.Status.HELD:
            raise RejectedError(RejectCode.WITHDRAWAL_STATE, needed="held", available=str(row.status))
        approvable_demand(row)
        after = {
            "account": row.account.number, "amount": money_text(row.amount), "destination": destination_of(row.beneficiary).masked,
            "look_at": flags_of(row),
        }  # fmt: skip
        return row.pk, after, {}

    def execute(self, approval: Approval, checker: Any) -> str:
        """Let it go; finance pays it and notes the bank's reference at the funding desk."""
        withdrawal_approve(withdrawal_id=approval.subject, staff=checker, reason=approval.reason)
        return "approved; to be paid at the funding desk"

    def owner_id(self, approval: Approval) -> str:
        """Whose money it is."""
        return str(Withdrawal.objects.select_related("account").get(pk=approval.subject).account.owner_id)


class AccountState(Kind):
    """Halt an account, let it only reduce, open it again."""

    label = "Trading state of an account"
    request, approve = "backoffice.request_account", "backoffice.approve_account"
    _status = {"active": TradingAccount.Status.ACTIVE, "reduce_only": TradingAccount.Status.ACTIVE,
               "halted": TradingAccount.Status.SUSPENDED}  # fmt: skip

    def check(self, maker: Any, subject: str, payload: Mapping[str, Any]) -> Checked:
        account = account_for_staff(maker, subject)
        _only(payload, "state")
        state = str(payload["state"])
        if state not in STATES:
            raise RejectedError(RejectCode.MALFORMED, needed=", ".join(STATES), field="state")
        if account.status not in (TradingAccount.Status.ACTIVE, TradingAccount.Status.SUSPENDED):
            raise RejectedError(RejectCode.ACCOUNT_NOT_ACTIVE)
        last = Approval.objects.filter(kind="account_state", subject=subject, status=Approval.Status.EXECUTED).first()
        return account.number, {"state": state}, {"state": last.payload["state"] if last else "active"}

    def execute(self, approval: Approval, checker: Any) -> str:
        """The row first, so that the edge refuses at once; the engine by an event."""
        account = TradingAccount.objects.select_for_update().get(number=approval.subject)
        account.status = self._status[approval.payload["state"]]
        account.save(update_fields=["status"])
        accounts_forget(account.owner_id)
        emit("account.state_approved", approval.pk, {
            "core_account": account.core_account, "state": approval.payload["state"],
        })  # fmt: skip
        return "sent to the engine"


class AccountLimits(Kind):
    """How many orders may be open and what one may be worth."""

    label = "Limits of an account"
    request, approve = "backoffice.request_account", "backoffice.approve_account"

    def check(self, maker: Any, subject: str, payload: Mapping[str, Any]) -> Checked:
        account = account_for_staff(maker, subject)
        _only(payload, "max_open_orders", "max_order_value")
        text = str(payload["max_open_orders"])
        if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= OPEN_ORDERS_MAX):
            raise RejectedError(
                RejectCode.VALUE_OUT_OF_RANGE,
                needed=f"1 to {OPEN_ORDERS_MAX}",
                available=text[:20],
                field="max_open_orders",
            )
        asset, minor = _money({"asset": account.base_currency, "amount": payload["max_order_value"]})
        last = Approval.objects.filter(kind="account_limits", subject=subject, status=Approval.Status.EXECUTED).first()
        before = last.payload if last else {"max_open_orders": "200", "max_order_value": "none"}
        after = {"max_open_orders": str(int(text)), "max_order_value": asset.money(minor)}
        return account.number, after, {name: before[name] for name in after}

    def execute(self, approval: Approval, checker: Any) -> str:
        """Written to the account's row; the engine by an event. The tier's own limit stays the upper bound."""
        account = TradingAccount.objects.get(number=approval.subject)
        _, minor = _money({"asset": account.base_currency, "amount": approval.payload["max_order_value"]})
        staff_limits_set(account=account, order_notional=minor, open_orders=int(approval.payload["max_open_orders"]))
        emit("account.limits_approved", approval.pk, {"account": account.number})
        return "sent to the engine"


class FactorReset(Kind):
    """The second factors of a client who has lost them, recovery codes included."""

    label = "Second factor lost"
    request, approve = "backoffice.request_factor_reset", "backoffice.approve_factor_reset"
    #: How it was made sure who asks: as well as when the client was taken on.
    proofs: Mapping[str, str] = {
        "in_person": "In person, with the document of the file",
        "video": "On video, with the document of the file",
        "notary": "By a notary or an embassy",
    }

    def check(self, maker: Any, subject: str, payload: Mapping[str, Any]) -> Checked:
        """The client has factors, and it is said how they proved who they are and where that is kept."""
        account = account_for_staff(maker, subject)
        _only(payload, "proof", "evidence")
        proof, evidence = str(payload["proof"]), " ".join(str(payload["evidence"]).split())
        if proof not in self.proofs:
            raise RejectedError(RejectCode.MALFORMED, needed=", ".join(self.proofs), field="proof")
        if len(evidence) < EVIDENCE_MIN:
            raise RejectedError(RejectCode.REASON_MISSING, needed=str(EVIDENCE_MIN), field="evidence")
        client = client_of_staff(maker, account.owner_id)
        factors = factors_of(client.pk)
        if not factors.any:
            raise RejectedError(RejectCode.FACTOR_NOT_USABLE, "This client has no second factor to remove.")
        before = {
            "authenticator": "set up" if factors.totp else "none",
            "passkeys": str(len(factors.passkeys)),
            "recovery codes": str(factors.codes_left),
        }
        return account.number, {"proof": proof, "evidence": evidence[:64]}, before

    def requested(self, approval: Approval) -> None:
        """Tell the client, who can stop it if it was not them."""
        what = "somebody told our staff that you lost your second factors and asked to remove them"
        enqueue("accounts.tasks.mail_security_notice", user_id=self.owner_id(approval), what=what)

    def execute(self, approval: Approval, checker: Any) -> str:
        """All factors go, all sessions and tokens end, payouts freeze; a frozen client stays frozen."""
        factors_reset(user=TradingAccount.objects.get(number=approval.subject).owner)  # type: ignore[arg-type]
        return "the second factors are removed; the client sets up a new one at the next sign-in"


class Role(Kind):
    """A role for a member of staff."""

    label = "Role of staff"
    request, approve = "backoffice.request_role", "backoffice.approve_role"

    def check(self, maker: Any, subject: str, payload: Mapping[str, Any]) -> Checked:
        _only(payload, "role")
        role_demand(str(payload["role"]))
        user = User.objects.filter(email__iexact=subject, is_active=True).first()
        if user is None:
            raise RejectedError(RejectCode.NOT_FOUND, "There is no such user.", field="subject")
        if user.trading_accounts.exists():
            raise RejectedError(
                RejectCode.PERMISSION_DENIED,
                "A client with an account cannot be staff under the same sign-in.",
                field="subject",
            )
        preview = role_change_preview(user=user, role=str(payload["role"]))
        before = {"roles": sorted(user.groups.values_list("name", flat=True))}
        return user.email, {"role": str(payload["role"]), "gains": preview["gained"]}, before

    def execute(self, approval: Approval, checker: Any) -> str:
        """Give it."""
        user = User.objects.get(email__iexact=approval.subject)
        role_grant(
            user=user,
            role=approval.payload["role"],
            granted_by=checker,
            requested_by=approval.maker,
            reason=approval.reason,
        )
        return f"{user.email} has the role {approval.payload['role']}"

    def owner_id(self, approval: Approval) -> str:
        """Who would get the role."""
        return str(User.objects.get(email__iexact=approval.subject).pk)


KINDS: Mapping[str, Kind] = {
    "deposit": Deposit(),
    "debit": Debit(),
    "payout": Payout(),
    "account_state": AccountState(),
    "account_limits": AccountLimits(),
    "factor_reset": FactorReset(),
    "role": Role(),
}
