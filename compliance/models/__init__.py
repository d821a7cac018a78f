"""Models of compliance."""

from compliance.models.aml import GoodGuy, ListedName, ListedParty, SanctionsList, ScreeningHit
from compliance.models.audit import AuditCheckpoint, AuditEntry, AuditNode
from compliance.models.kyc import (
    KycAnswer,
    KycCase,
    KycCheck,
    KycDocument,
    KycProposal,
    KycTransition,
    LivenessCheck,
    ProviderEvent,
)
from compliance.models.retention import ClientEnd

__all__ = [
    "AuditCheckpoint",
    "AuditEntry",
    "AuditNode",
    "ClientEnd",
    "GoodGuy",
    "KycAnswer",
    "KycCase",
    "KycCheck",
    "KycDocument",
    "KycProposal",
    "KycTransition",
    "ListedName",
    "ListedParty",
    "LivenessCheck",
    "ProviderEvent",
    "SanctionsList",
    "ScreeningHit",
]
