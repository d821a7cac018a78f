"""The audit trail in the admin: to look at, never to change."""

from django.contrib import admin

from brokerage.platform.admin_base import ReadOnlyAdmin
from compliance.models import AuditCheckpoint, AuditEntry


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """Entries without their sealed part."""

    list_display = ("seq", "ts", "actor_type", "actor_id", "action", "object_type", "object_id", "request_id")
    list_filter = ("actor_type", "action")
    search_fields = ("actor_id", "object_id", "action")
    exclude = ("payload", "payload_hash", "prev_hash", "entry_hash", "leaf_hash")


@admin.register(AuditCheckpoint)
class AuditCheckpointAdmin(ReadOnlyAdmin):
    """Signed notes."""

    list_display = ("size", "ts")
    exclude = ("root",)
