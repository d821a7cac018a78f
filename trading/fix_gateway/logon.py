"""Who may log on: session, password, address, account. Whoever may not is told nothing: the connection ends without a word.

Every refusal is a line of the security log and, bounded, of the audit trail. Owns the order of checks. Leaves what the session then does to
``brokerage/fix/session.py``.
"""

from __future__ import annotations

import hmac
import logging
import secrets

from accounts.models import FixKey
from accounts.selectors.access import account_for_user
from accounts.selectors.credentials import credential_state, fix_key_by_comp_id
from accounts.services.fix_keys import fix_key_touch, password_digest
from brokerage.fix.codec import BEGIN_STRING, GarbledError, Message, decode
from brokerage.kernel.clock import SYSTEM_CLOCK
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform import audit
from brokerage.platform.auth import user_for_token
from brokerage.platform.policy_rules import TRADE
from brokerage.platform.refusals import refusal_note
from brokerage.platform.throttling import throttle_hit
from trading.fix_gateway.application import Peer

log = logging.getLogger(__name__)
_NO_DIGEST = secrets.token_bytes(32)


def identify(frame: bytes, address: str, comp_id: str) -> tuple[Peer, FixKey] | None:
    """The peer of a Logon and its key; None for whoever may not log on to us (``comp_id``) from this address."""
    try:
        message = decode(frame)
    except GarbledError:
        return None
    theirs = message.get(49)
    if message.type != "A" or message.begin != BEGIN_STRING or message.get(56) != comp_id:
        return None
    if not (theirs.isascii() and theirs.isalnum()) or len(theirs) > 14:
        return None
    try:
        standing = throttle_hit("fix_logon", f"{address}:{theirs}")
    except RejectedError:
        return None  # tries cannot be counted: nobody logs on
    if not standing.allowed:
        log.warning("fix logon of %s from %s: too many tries", theirs, address)
        return None
    return _known(message, theirs, address)


def _known(message: Message, theirs: str, address: str) -> tuple[Peer, FixKey] | None:
    key = fix_key_by_comp_id(theirs)
    digest = bytes(key.password_digest) if key is not None else _NO_DIGEST
    # The same work for a session there is not, so that time does not tell which there are.
    right = hmac.compare_digest(digest, password_digest(message.get(554)))
    if key is None or not right or message.get(553) not in ("", theirs):
        _note(RejectCode.API_KEY_INVALID, audit.Actor("anonymous"), address)
        return None
    actor = audit.Actor("user", str(key.user_id))
    if credential_state(f"fix:{theirs}", address) is None:
        expired = key.expires_at is not None and credential_state(f"fix:{theirs}") is None
        _note(RejectCode.API_KEY_EXPIRED if expired else RejectCode.KEY_ADDRESS_NOT_ALLOWED, actor, address)
        return None
    if user_for_token(str(key.user_id)) is None:
        _note(RejectCode.USER_FROZEN, actor, address)
        return None
    try:
        account = account_for_user(key.user_id, key.account.number, fresh=True)
    except RejectedError as error:
        _note(error.code, actor, address)
        return None
    fix_key_touch(key.pk, address)
    peer = Peer(key.pk, theirs, key.user_id, account, TRADE in key.scopes, key.cancel_on_disconnect, address)
    return peer, key


def _note(code: int, actor: audit.Actor, address: str) -> None:
    refusal_note(route="fix", method="logon", code=code, actor=actor, address=address)


def still_may(peer: Peer) -> bool:
    """True while the key stands, its user is active and the account is theirs to see. Asks the database, not what is remembered of the key."""
    state = credential_state(peer.credential, peer.address)
    if state is None or (state.ends_ns is not None and state.ends_ns <= SYSTEM_CLOCK.now_ns()):
        return False
    if user_for_token(str(peer.user_id)) is None:
        return False
    try:
        account_for_user(peer.user_id, peer.account.number)
    except RejectedError:
        return False
    return True


def session_noted(peer: Peer, action: str, **more: object) -> None:
    """Record that a session was opened or closed."""
    audit.record(
        action,
        object_type="fix_key",
        object_id=peer.key_id,
        actor=audit.Actor("user", str(peer.user_id)),
        subject=peer.user_id,
        after={"comp_id": peer.comp_id, "address": peer.address, **more},
    )
