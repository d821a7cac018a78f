"""Models of compliance."""

from compliance.models.aml import GoodGuy, ListedName, ListedParty, SanctionsList, ScreeningHit
from compliance.models.audit import AuditCheckpoint, AuditEntry, AuditNode
from compliance.models.kyc import KycAnswer, KycCase, KycCheck, KycDocument, KycProposal, KycTransition, ProviderEvent

__all__ = [
    "AuditCheckpoint",
    "AuditEntry",
    "AuditNode",
    "GoodGuy",
    "KycAnswer",
    "KycCase",
    "KycCheck",
    "KycDocument",
    "KycProposal",
    "KycTransition",
    "ListedName",
    "ListedParty",
    "ProviderEvent",
    "SanctionsList",
    "ScreeningHit",
]
