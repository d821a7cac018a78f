"""Admin of the plumbing: the outbox, with its dead letters."""

from django.contrib import admin

from brokerage.platform.admin_base import ReadOnlyAdmin
from brokerage.platform.models import OutboxEvent


@admin.register(OutboxEvent)
class OutboxEventAdmin(ReadOnlyAdmin):
    """What was told to whom, and what could not be."""

    list_display = ("id", "topic", "key", "created_at", "published_at", "attempts", "failed_reason")
    list_filter = ("topic",)
    search_fields = ("topic", "key")
    ordering = ("-id",)
