"""Documents: taken in, scanned, cleaned, sealed into the vault, opened again only by signed links that are audited.

A file lies below ``vault_dir`` under a random name, sealed with the client's key, mode 0600. What the scanner could not judge waits in quarantine
(sealed as it came, never shown) and is asked about again by the clock. Owns the vault. Leaves cleaning to ``uploads.py``.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from django.core import signing
from django.db import transaction

from brokerage.config import get_config
from brokerage.kernel.clock import utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.audit import record
from brokerage.platform.crypto import seal, unseal
from compliance.models import KycCase, KycDocument
from compliance.policy import policy
from compliance.scanning import Verdict, scan
from compliance.selectors.checklist import BY_NAME
from compliance.services.kyc import CLIENT_STATES, case_lock, case_open
from compliance.uploads import BYTES_MAX, CleanFile, FileRefused, file_clean

PER_CASE_MAX = 60
LINK_S = 300
LINK_SALT = "kyc-document"
TABLE, FIELD = "compliance_kycdocument", "file"
WAITING = "application/octet-stream"
State = KycDocument.State


def vault_path(name: str) -> Path:
    """Where a sealed file lies; names are ours alone and hexadecimal."""
    if len(name) != 64 or any(char not in "0123456789abcdef" for char in name):
        raise ValueError("not a name of the vault")
    return get_config().vault_dir / name[:2] / name


def document_add(
    *,
    user: Any,
    kind: str,
    data: bytes,
    issued_on: date | None = None,
    expires_on: date | None = None,
    case: KycCase | None = None,
) -> KycDocument:
    """Take a document in: 7014 or 7015 for the file, 7016 for its dates, 7013 when it is not the client's turn.

    Replaces an earlier one of the same step that was not accepted. A file that cannot be scanned is kept in quarantine.
    """
    _dates(kind, issued_on, expires_on)
    if len(data) > BYTES_MAX:
        raise RejectedError(RejectCode.DOCUMENT_TOO_LARGE, needed=f"{BYTES_MAX // 1024 // 1024} MB", field="file")
    verdict = scan(data)
    if verdict.verdict == Verdict.INFECTED:
        record(
            "kyc_document.infected", object_type="user", object_id=user.pk, after={"kind": kind, "found": verdict.text}
        )
        raise RejectedError(
            RejectCode.DOCUMENT_REFUSED, "The file was found to be unsafe and was not kept.", field="file"
        )
    # Cleaned before it is known to be safe as well: what is no picture or PDF is told at once.
    clean = _clean(data)
    waiting = verdict.verdict == Verdict.UNKNOWN
    own = case or case_open(user=user)
    with transaction.atomic():
        case = case_lock(own.pk)
        if case.state not in CLIENT_STATES:
            raise RejectedError(RejectCode.KYC_STATE, needed="draft, action required or approved", available=case.state)
        if case.documents.count() >= PER_CASE_MAX:
            raise RejectedError(RejectCode.KYC_STATE, "There are too many documents in this case: contact support.")
        step = next(step for step in BY_NAME.values() if kind in step.kinds)
        case.documents.filter(kind__in=step.kinds).exclude(state=State.ACCEPTED).update(state=State.REPLACED)
        document = KycDocument(
            id=uuid4(), case=case, kind=kind, issued_on=issued_on, expires_on=expires_on, name=secrets.token_hex(32)
        )
        _keep(document, CleanFile(WAITING, data) if waiting else clean, case.person.pk)
        document.state = State.QUARANTINED if waiting else State.STORED
        document.reason = verdict.text if waiting else ""
        document.save()
        case.actions = [row for row in case.actions if row["step"] != step.name]
        case.save(update_fields=["actions", "updated_at"])
        record(
            "kyc_document.added",
            object_type="kyc_document",
            object_id=document.pk,
            after={"kind": kind, "state": document.state, "digest": document.digest, "media_type": document.media_type},
        )
    return document


def _clean(data: bytes) -> CleanFile:
    try:
        return file_clean(data)
    except FileRefused as error:
        code = RejectCode.DOCUMENT_TOO_LARGE if error.limit else RejectCode.DOCUMENT_REFUSED
        raise RejectedError(code, str(error), needed=error.limit or None, field="file") from error


def _dates(kind: str, issued_on: date | None, expires_on: date | None) -> None:
    today = utc_now().date()
    age_max = policy().body["document_max_age_days"].get(kind)
    if kind in BY_NAME["id_document"].kinds:
        if expires_on is None:
            raise RejectedError(
                RejectCode.MISSING_FIELD, "Give the date it runs out.", needed="expires_on", field="expires_on"
            )
        if expires_on < today:
            raise RejectedError(
                RejectCode.DETAILS_REFUSED,
                f"This document ran out on {expires_on}: use a valid one.",
                field="expires_on",
            )
    if age_max is not None:
        if issued_on is None:
            raise RejectedError(RejectCode.MISSING_FIELD, "Give the date on it.", needed="issued_on", field="issued_on")
        if not today - timedelta(days=age_max) <= issued_on <= today:
            raise RejectedError(
                RejectCode.DETAILS_REFUSED,
                f"It must be of the last {age_max} days.",
                needed=f"{age_max} days",
                field="issued_on",
            )


def _keep(document: KycDocument, file: CleanFile, user_id: UUID) -> None:
    """Seal and write; the row follows in the caller's transaction, so a file without a row is all a crash can leave."""
    sealed = seal(file.data, owner=f"user:{user_id}", table=TABLE, row=str(document.pk), field=FIELD)
    path = vault_path(document.name)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_suffix(".part")
    part.touch(mode=0o600, exist_ok=True)
    part.write_bytes(sealed)
    part.replace(path)
    document.media_type, document.size = file.media_type, len(file.data)
    document.digest = hashlib.sha256(sealed).hexdigest()


def document_data(document: KycDocument) -> bytes:
    """The bytes of a document; CryptoError when they were changed or the client's key is gone."""
    return unseal(vault_path(document.name).read_bytes(), table=TABLE, row=str(document.pk), field=FIELD)


def entity_owner(case: KycCase, viewer: Any) -> bool:
    """True for an owner of the entity's account."""
    if case.account is None:
        return False
    return case.account.members.filter(user_id=viewer.pk, role="owner").exists()


def quarantine_rescan(document_id: Any) -> KycDocument:
    """Ask the scanner again about a file that waits; clean ones are cleaned and take part from now on."""
    with transaction.atomic():
        document = KycDocument.objects.select_for_update().get(pk=document_id)
        if document.state != State.QUARANTINED:
            return document
        data = document_data(document)
        verdict = scan(data)
        if verdict.verdict == Verdict.UNKNOWN:
            return document
        if verdict.verdict == Verdict.INFECTED:
            document.state, document.reason = State.INFECTED, verdict.text
            vault_path(document.name).unlink(missing_ok=True)
        else:
            _keep(document, file_clean(data), document.case.person.pk)
            document.state, document.reason = State.STORED, ""
        document.save()
        record(
            "kyc_document.scanned", object_type="kyc_document", object_id=document.pk, after={"state": document.state}
        )
    return document


def link_make(document: KycDocument, viewer: Any) -> str:
    """A token that opens one document for one person for LINK_S seconds."""
    return signing.dumps([str(document.pk), str(viewer.pk)], salt=LINK_SALT)


def link_open(*, token: str, viewer: Any) -> tuple[KycDocument, bytes]:
    """The document behind a link, recorded as opened; 7019 when the link is old, forged or another's."""
    try:
        document_id, viewer_id = signing.loads(token, salt=LINK_SALT, max_age=LINK_S)
    except (signing.BadSignature, ValueError, TypeError):
        raise RejectedError(RejectCode.LINK_EXPIRED) from None
    if viewer_id != str(viewer.pk):
        raise RejectedError(RejectCode.LINK_EXPIRED)
    with transaction.atomic():
        document = KycDocument.objects.select_related("case").filter(pk=document_id).first()
        if document is None or document.state in {State.QUARANTINED, State.INFECTED}:
            raise RejectedError(RejectCode.NOT_FOUND)
        owner = document.case.person.pk == viewer.pk or entity_owner(document.case, viewer)
        if not owner and not viewer.has_perm("compliance.decide_kyc"):
            raise RejectedError(RejectCode.LINK_EXPIRED)
        record("kyc_document.opened", object_type="kyc_document", object_id=document.pk, after={"kind": document.kind})
    return document, document_data(document)
