"""REST views of devices that take push messages. For people only: no key registers or removes one (``brokerage/platform/policy.py``)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import schemas
from accounts.models import PushDevice
from accounts.services.push_devices import (
    PATTERN,
    TOKEN_MAX,
    push_device_add,
    push_device_remove,
    push_devices_of,
)
from brokerage.kernel.clock import ns_from_datetime, rfc3339
from brokerage.platform.api import ApiView, listing, query_of
from brokerage.platform.api_fields import StrictSerializer, StrictText
from brokerage.platform.api_schema import documented, list_of


@extend_schema_field({"type": "string", "minLength": 16, "maxLength": TOKEN_MAX, "pattern": PATTERN})
class PushTokenField(StrictText):
    """What a push service calls a device: visible ASCII."""


class PushDeviceBody(StrictSerializer):
    """A device."""

    token = PushTokenField(max_length=TOKEN_MAX, write_only=True, help_text="Of the push service. Never shown again.")
    name = StrictText(max_length=80, help_text="What its owner calls it.")


class PushDeviceAnswer(serializers.Serializer[Any]):
    """A device that is told of changes to security."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    created_at = serializers.DateTimeField()
    seen_at = serializers.DateTimeField(help_text="When it was registered last.")


def push_device_json(row: PushDevice) -> dict[str, Any]:
    """A device as the API shows it: without its token."""
    return {
        "id": str(row.pk),
        "name": row.name,
        "created_at": rfc3339(ns_from_datetime(row.created_at)),
        "seen_at": rfc3339(ns_from_datetime(row.seen_at)),
    }


class PushDevicesView(ApiView):
    """Own devices."""

    @documented(
        answer=list_of("PushDevice", PushDeviceAnswer), tag="accounts", operation="push_devices_list",
        summary="Devices for push messages",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """List them; there are never more than fit one page."""
        query_of(request, schemas.NoQuery)
        return Response(listing([push_device_json(row) for row in push_devices_of(request.user)]))

    @documented(
        answer=PushDeviceAnswer, body=PushDeviceBody, status=201, problems=(404,), tag="accounts",
        operation="push_devices_add", summary="Register a device for push messages",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Register it for notices of changes to security; the same token again renews it. 404 where there are no push messages."""
        return Response(push_device_json(push_device_add(user=request.user, **self.body(PushDeviceBody))), status=201)


class PushDeviceView(ApiView):
    """One device."""

    @documented(status=204, problems=(404,), tag="accounts", operation="push_devices_remove", summary="Remove a device")
    def delete(self, request: Request, device_id: UUID) -> Response:
        """Forget it."""
        push_device_remove(user=request.user, device_id=device_id)
        return Response(status=204)
