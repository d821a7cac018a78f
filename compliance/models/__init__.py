"""Models of compliance."""

from compliance.models.audit import AuditCheckpoint, AuditEntry, AuditNode

__all__ = ["AuditCheckpoint", "AuditEntry", "AuditNode"]
