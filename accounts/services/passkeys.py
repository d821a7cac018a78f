"""Passkeys (WebAuthn): registered by a signed-in user, used to sign in without a password or as the second factor.

The challenge lives in the browser's session and is used up by the answer. The relying party is the host the page was opened at, which
Django has checked; browsers refuse bare addresses, so a portal at 127.0.0.1 must be opened as localhost.
"""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from typing import Any

import webauthn
from django.db import IntegrityError, transaction
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url, options_to_json
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from accounts.models import Passkey, User
from accounts.services.second_factor import factors_tidy
from accounts.services.security import credentials_changed, settings_demand
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode

PASSKEYS_MAX = 10
ANSWER_MAX = 16_384


@dataclass(frozen=True)
class Party:
    """Where the browser is: the host as the key's scope, the origin that must sign."""

    host: str
    origin: str

    @property
    def usable(self) -> bool:
        """False at a bare address, where browsers have no passkeys."""
        try:
            ipaddress.ip_address(self.host.strip("[]"))
        except ValueError:
            return bool(self.host)
        return False


def _descriptors(keys: list[Passkey]) -> list[PublicKeyCredentialDescriptor]:
    return [PublicKeyCredentialDescriptor(id=bytes(key.credential_id)) for key in keys]


def passkey_register_options(*, user: User, party: Party) -> tuple[dict[str, Any], str]:
    """What the browser needs to make a key, and the challenge to keep."""
    settings_demand(user)
    known = list(Passkey.objects.filter(user=user, rp_id=party.host))
    options = webauthn.generate_registration_options(
        rp_id=party.host,
        rp_name="Brokerage",
        user_name=user.email,
        user_id=user.pk.bytes,
        user_display_name=user.display_name or user.email,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
        exclude_credentials=_descriptors(known),
    )
    return json.loads(options_to_json(options)), bytes_to_base64url(options.challenge)


def passkey_register(
    *, user: User, party: Party, challenge: str, answer: dict[str, Any], name: str, keep_session: Any = None
) -> Passkey:
    """Keep a new key; 2038 when its answer does not verify or it is known already."""
    settings_demand(user)
    if Passkey.objects.filter(user=user).count() >= PASSKEYS_MAX:
        raise RejectedError(RejectCode.FACTOR_NOT_USABLE, f"A user has at most {PASSKEYS_MAX} passkeys.")
    try:
        verified = webauthn.verify_registration_response(
            credential=answer,
            expected_challenge=base64url_to_bytes(challenge),
            expected_rp_id=party.host,
            expected_origin=party.origin,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError) as error:
        raise RejectedError(RejectCode.FACTOR_NOT_USABLE) from error
    try:
        with transaction.atomic():
            key = Passkey.objects.create(
                user=user,
                name=name.strip()[:64] or "Passkey",
                confirmed=True,
                credential_id=verified.credential_id,
                public_key=verified.credential_public_key,
                sign_count=verified.sign_count,
                rp_id=party.host,
                created_at=utc_now(),
            )
            credentials_changed(
                user=user, what="a passkey was added", action="factor.passkey_added", keep_session=keep_session
            )
    except IntegrityError as error:
        raise RejectedError(RejectCode.FACTOR_NOT_USABLE, "This passkey is registered already.") from error
    return key


def passkey_use_options(*, user: User | None, party: Party) -> tuple[dict[str, Any], str]:
    """What the browser needs to sign with a key: of this user, or of whoever it is when nobody is named."""
    known = list(Passkey.objects.filter(user=user, rp_id=party.host)) if user is not None else []
    options = webauthn.generate_authentication_options(
        rp_id=party.host,
        allow_credentials=_descriptors(known) or None,
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return json.loads(options_to_json(options)), bytes_to_base64url(options.challenge)


def passkey_use(*, user: User | None, party: Party, challenge: str, answer: dict[str, Any]) -> Passkey:
    """The key that signed the challenge; 2038 for any other answer, a stranger's key, or a counter that went back."""
    try:
        credential_id = base64url_to_bytes(str(answer["id"]))
    except (ValueError, KeyError, TypeError) as error:
        raise RejectedError(RejectCode.FACTOR_NOT_USABLE) from error
    with transaction.atomic():
        keys = Passkey.objects.select_for_update(of=("self",)).select_related("user")
        key = keys.filter(credential_id=credential_id, confirmed=True, user__is_active=True).first()
        if key is None or (user is not None and key.user_id != user.pk):
            raise RejectedError(RejectCode.FACTOR_NOT_USABLE)
        try:
            verified = webauthn.verify_authentication_response(
                credential=answer,
                expected_challenge=base64url_to_bytes(challenge),
                expected_rp_id=party.host,
                expected_origin=party.origin,
                credential_public_key=bytes(key.public_key),
                credential_current_sign_count=key.sign_count,
                require_user_verification=True,
            )
        except (WebAuthnException, ValueError, KeyError, TypeError) as error:
            raise RejectedError(RejectCode.FACTOR_NOT_USABLE) from error
        key.sign_count, key.last_used_at = verified.new_sign_count, utc_now()
        key.save(update_fields=["sign_count", "last_used_at"])
    return key


def passkey_remove(*, user: User, uid: Any, keep_session: Any = None) -> None:
    """Forget a key; 2014 when it is not the user's, 2039 when it is the last way in."""
    settings_demand(user)
    with transaction.atomic():
        key = Passkey.objects.select_for_update().filter(user=user, uid=uid).first()
        if key is None:
            raise RejectedError(RejectCode.NOT_FOUND, "There is no such passkey.")
        if not user.has_usable_password() and not Passkey.objects.filter(user=user).exclude(pk=key.pk).exists():
            raise RejectedError(RejectCode.LAST_FACTOR)
        key.delete()
        factors_tidy(user)
        credentials_changed(
            user=user, what="a passkey was removed", action="factor.passkey_removed", keep_session=keep_session
        )
