"""Bodies and answers of the staff endpoints."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from brokerage.platform.api_fields import StrictSerializer, StrictText

APPROVAL_STATUSES = ["pending", "executed", "refused", "withdrawn"]


class ApprovalQuery(StrictSerializer):
    """Which requests."""

    status = serializers.ChoiceField(choices=APPROVAL_STATUSES, required=False)


class ApprovalBody(StrictSerializer):
    """Ask for something."""

    kind = StrictText(max_length=24)
    subject = StrictText(max_length=128, help_text="An account's number, or a user's address for a role.")
    payload = serializers.DictField(child=serializers.CharField(max_length=64), help_text="What is asked, by kind.")
    reason = StrictText(max_length=1000)


class DecisionBody(StrictSerializer):
    """Decide."""

    approve = serializers.BooleanField()
    reason = StrictText(max_length=1000)


class Approval(serializers.Serializer[Any]):
    """A request and what became of it."""

    id = serializers.CharField()
    kind = serializers.CharField()
    subject = serializers.CharField()
    payload = serializers.DictField()
    before = serializers.DictField()
    maker = serializers.CharField()
    reason = serializers.CharField()
    status = serializers.ChoiceField(choices=APPROVAL_STATUSES)
    checker = serializers.CharField(allow_null=True)
    decision_reason = serializers.CharField()
    result = serializers.CharField()
    created_at = serializers.CharField()
    expires_at = serializers.CharField()
