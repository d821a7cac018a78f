"""Who may use an account: joint and entity accounts, invitations by mail, roles, sub-accounts.

Owners decide about members, traders trade, viewers look (``accounts/selectors/access.py`` is asked everywhere). A change of a role closes the
member's live sockets; what they may still see is asked of the database when they come back. Every act is recorded.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import Any

from django.core.signing import BadSignature, Signer
from django.db import transaction

from accounts.models import Invitation, TradingAccount, TradingAccountMember, User
from accounts.selectors.access import accounts_forget
from accounts.services.trading_accounts import account_open
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.identifiers import is_lei
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.audit import record
from brokerage.platform.jobs import enqueue
from brokerage.platform.outbox import emit
from brokerage.platform.realtime import revoke_user

Role = TradingAccountMember.Role
Kind = TradingAccount.Kind
#: Which roles others than the first owner can have in an account of a kind.
ROLES = {
    Kind.INDIVIDUAL: (Role.VIEWER,),
    Kind.JOINT: (Role.OWNER, Role.VIEWER),
    Kind.ENTITY: (Role.OWNER, Role.TRADER, Role.VIEWER),
}
MEMBERS_MAX = 50
ACCOUNTS_MAX = 20
LIFETIME = timedelta(days=7)
_signer = Signer(salt="account-invitation")


def roles_for(account: TradingAccount) -> tuple[str, ...]:
    """The roles an owner may give in this account."""
    return tuple(str(role) for role in ROLES.get(Kind(account.kind), ()))


def account_for_owner(user: User, number: str, *, lock: bool = False) -> TradingAccount:
    """The account when the user owns it: 2014 when they are no member, 2012 when they are one without that right."""
    rows = TradingAccount.objects.select_for_update() if lock else TradingAccount.objects
    account = rows.filter(number=number).first()
    role = "" if account is None else _role(account, user)
    if account is None or not role:
        raise RejectedError(RejectCode.NOT_FOUND, "There is no such account.")
    if role != Role.OWNER:
        raise RejectedError(RejectCode.PERMISSION_DENIED, "Only owners change the members of an account.")
    return account


def _role(account: TradingAccount, user: User) -> str:
    if account.owner_id == user.pk:
        return Role.OWNER
    found = TradingAccountMember.objects.filter(account=account, user=user).values_list("role", flat=True).first()
    return found or ""


def account_add(*, user: User, kind: str, name: str, lei: str = "") -> TradingAccount:
    """Open a joint or entity account; an entity names itself and may give its LEI."""
    name = name.strip()
    if kind not in {Kind.JOINT, Kind.ENTITY}:
        raise RejectedError(RejectCode.MALFORMED, needed="joint or entity", field="kind")
    if kind == Kind.ENTITY and not name:
        raise RejectedError(RejectCode.MISSING_FIELD, "An entity has a legal name.", needed="name", field="name")
    if lei:
        if kind != Kind.ENTITY:
            raise RejectedError(RejectCode.MALFORMED, "Only an entity has an LEI.", field="lei")
        if not is_lei(lei):
            raise RejectedError(RejectCode.MALFORMED, "That is not an LEI.", needed="ISO 17442", field="lei")
    return _open(user, kind=kind, name=name[:80], lei=lei)


def sub_account_add(*, user: User, number: str, name: str) -> TradingAccount:
    """Open a sub-account: same kind and first owner; the owners of the account above are owners of it. One level only."""
    with transaction.atomic():
        parent = account_for_owner(user, number, lock=True)
        if parent.parent_id is not None or parent.owner is None or not roles_for(parent):
            raise RejectedError(RejectCode.PERMISSION_DENIED, "This account has no sub-accounts.")
        account = _open(parent.owner, kind=parent.kind, name=name.strip()[:80], lei=parent.lei, parent=parent)
        others = TradingAccountMember.objects.filter(account=parent, role=Role.OWNER).exclude(user=parent.owner)
        TradingAccountMember.objects.bulk_create(
            TradingAccountMember(account=account, user_id=row.user_id, role=Role.OWNER) for row in others
        )
        for row in others:
            _changed(row.user_id)
    return account


def _open(user: User, **options: Any) -> TradingAccount:
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        if TradingAccount.objects.filter(owner=user).exclude(status="closed").count() >= ACCOUNTS_MAX:
            raise RejectedError(RejectCode.PERMISSION_DENIED, f"A user opens at most {ACCOUNTS_MAX} accounts.")
        account = account_open(user=user, **options)
        record(
            "account.opened",
            object_type="account",
            object_id=account.number,
            subject=user.pk,
            after={"kind": str(account.kind), "name": account.name},
        )
        _changed(user.pk)
    return account


def _changed(user_id: Any) -> None:
    def tell() -> None:
        accounts_forget(user_id)
        revoke_user(user_id)

    transaction.on_commit(tell)


def invitation_send(*, user: User, number: str, email: str, role: str) -> Invitation:
    """Offer a role by mail; an older offer to the same address is withdrawn. 2043 for a role this kind of account does not give."""
    email, now = email.strip(), utc_now()
    with transaction.atomic():
        account = account_for_owner(user, number, lock=True)
        members = TradingAccountMember.objects.filter(account=account)
        if (
            role not in roles_for(account)
            or account.status == TradingAccount.Status.CLOSED
            or members.filter(user__email__iexact=email).exists()
            or members.count() + account.invitations.filter(accepted_at=None, revoked_at=None).count() >= MEMBERS_MAX
        ):
            raise RejectedError(RejectCode.INVITATION_REFUSED)
        open_ones = Invitation.objects.filter(account=account, email__iexact=email, accepted_at=None, revoked_at=None)
        open_ones.update(revoked_at=now)
        invitation = Invitation.objects.create(
            account=account, email=email, role=role, invited_by=user, created_at=now, expires_at=now + LIFETIME
        )
        record(
            "account.invitation_sent",
            object_type="account",
            object_id=account.number,
            after={"invitation": str(invitation.pk), "role": role},
        )
        enqueue("accounts.tasks.mail_invitation", invitation_id=str(invitation.pk))
    return invitation


def invitation_secret_make(*, invitation: Invitation) -> str:
    """The token of the link, made by the task that mails it; an older link of this invitation stops working."""
    secret = secrets.token_urlsafe(32)
    invitation.digest = hashlib.sha256(secret.encode()).digest()
    invitation.save(update_fields=["digest"])
    return _signer.sign(secret)


def invitation_look(*, token: str, lock: bool = False) -> Invitation:
    """The invitation of a link that would work now; 2032 otherwise."""
    try:
        digest = hashlib.sha256(_signer.unsign(token).encode()).digest()
    except BadSignature as error:
        raise RejectedError(RejectCode.LINK_NOT_VALID) from error
    rows = Invitation.objects.select_related("account", "invited_by")
    if lock:
        rows = rows.select_for_update(of=("self",))
    row = rows.filter(digest=digest, accepted_at=None, revoked_at=None, expires_at__gt=utc_now()).first()
    if row is None or row.account.status == TradingAccount.Status.CLOSED:
        raise RejectedError(RejectCode.LINK_NOT_VALID)
    return row


def invitation_accept(*, user: User, token: str) -> TradingAccountMember:
    """Become a member. Only the invited address may (2043), and only while the inviter is still an owner (2032)."""
    with transaction.atomic():
        row = invitation_look(token=token, lock=True)
        if row.email.lower() != user.email.lower():
            raise RejectedError(RejectCode.INVITATION_REFUSED, "The invitation is for another address.")
        if _role(row.account, row.invited_by) != Role.OWNER:
            raise RejectedError(RejectCode.LINK_NOT_VALID)
        row.accepted_at = utc_now()
        row.save(update_fields=["accepted_at"])
        member, made = TradingAccountMember.objects.get_or_create(
            account=row.account, user=user, defaults={"role": row.role}
        )
        if made:
            record(
                "account.member_added",
                object_type="account",
                object_id=row.account.number,
                subject=user.pk,
                after={"user": str(user.pk), "role": row.role},
            )
            emit("account.member_changed", row.account.number, {"user": str(user.pk), "role": row.role})
        _changed(user.pk)
    return member


def invitation_revoke(*, user: User, number: str, invitation_id: Any) -> None:
    """Withdraw an offer."""
    with transaction.atomic():
        account = account_for_owner(user, number, lock=True)
        done = Invitation.objects.filter(account=account, pk=invitation_id, accepted_at=None, revoked_at=None).update(
            revoked_at=utc_now()
        )
        if not done:
            raise RejectedError(RejectCode.NOT_FOUND, "There is no such invitation.")
        record(
            "account.invitation_revoked",
            object_type="account",
            object_id=account.number,
            after={"invitation": str(invitation_id)},
        )


def member_change(*, user: User, number: str, member_id: Any, role: str) -> None:
    """Give a member another role, or with an empty one remove them. The first owner stays (2044)."""
    with transaction.atomic():
        account = account_for_owner(user, number, lock=True)
        member = TradingAccountMember.objects.select_for_update().filter(account=account, user_id=member_id).first()
        if member is None:
            raise RejectedError(RejectCode.NOT_FOUND, "There is no such member.")
        if member.user_id == account.owner_id:
            raise RejectedError(RejectCode.LAST_OWNER)
        if role and role not in roles_for(account):
            raise RejectedError(RejectCode.INVITATION_REFUSED)
        before = member.role
        if role:
            member.role = role
            member.save(update_fields=["role"])
        else:
            member.delete()
        record(
            "account.member_changed" if role else "account.member_removed",
            object_type="account",
            object_id=account.number,
            subject=member_id,
            before={"role": before},
            after={"role": role},
        )
        emit("account.member_changed", account.number, {"user": str(member_id), "role": role})
        _changed(member.user_id)
