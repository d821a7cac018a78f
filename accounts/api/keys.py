"""REST views of API keys. For people only: no key can make or end a key (``brokerage/platform/policy.py``)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import schemas
from accounts.models import ApiKey
from accounts.selectors.credentials import api_keys_of
from accounts.selectors.factors import second_factor_enrolled
from accounts.services.api_keys import DAYS_MAX, NETWORKS_MAX, api_key_create, api_key_revoke
from accounts.services.step_up import step_up_required
from brokerage.kernel.clock import ns_from_datetime, rfc3339
from brokerage.platform.api import ApiView, listing, query_of
from brokerage.platform.api_fields import StrictSerializer, StrictText
from brokerage.platform.api_schema import documented, list_of
from brokerage.platform.policy_rules import SCOPES


class ApiKeyBody(StrictSerializer):
    """A new key."""

    name = StrictText(max_length=80)
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=SCOPES), min_length=1, max_length=len(SCOPES))
    networks = serializers.ListField(
        child=StrictText(max_length=43),
        required=False,
        max_length=NETWORKS_MAX,
        help_text="Addresses or CIDR networks it may be used from; empty: anywhere.",
    )
    expires_in_days = serializers.IntegerField(min_value=1, max_value=DAYS_MAX, required=False)


class ApiKeyAnswer(serializers.Serializer[Any]):
    """A key; its secret is only in the answer that made it."""

    id = serializers.UUIDField()
    key_id = serializers.CharField()
    name = serializers.CharField()
    scopes = serializers.ListField(child=serializers.CharField())
    networks = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)
    last_address = serializers.CharField()


class ApiKeyCreated(ApiKeyAnswer):
    """A key just made."""

    secret = serializers.CharField(help_text="Shown this once.")


def _time(value: Any) -> str | None:
    return rfc3339(ns_from_datetime(value)) if value is not None else None


def api_key_json(key: ApiKey) -> dict[str, Any]:
    """A key as the API shows it."""
    return {
        "id": str(key.pk),
        "key_id": key.key_id,
        "name": key.name,
        "scopes": key.scopes,
        "networks": key.networks,
        "created_at": _time(key.created_at),
        "expires_at": _time(key.expires_at),
        "last_used_at": _time(key.last_used_at),
        "last_address": key.last_address,
    }


class ApiKeysView(ApiView):
    """Own keys."""

    @documented(answer=list_of("ApiKey", ApiKeyAnswer), tag="auth", operation="api_keys_list", summary="Own API keys")
    def get(self, request: Request) -> Response:
        """List those that were not revoked."""
        query_of(request, schemas.NoQuery)
        return Response(listing([api_key_json(key) for key in api_keys_of(request.user)]))

    @documented(
        answer=ApiKeyCreated, body=ApiKeyBody, status=201, tag="auth", operation="api_keys_create",
        summary="Create an API key",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Make one. Needs a fresh second factor when the user has one."""
        data = self.body(ApiKeyBody)
        if second_factor_enrolled(request.user.pk):
            step_up_required(request, "api_key")
        key, secret = api_key_create(user=request.user, **data)
        return Response({**api_key_json(key), "secret": secret}, status=201)


class ApiKeyView(ApiView):
    """One key."""

    @documented(status=204, problems=(404,), tag="auth", operation="api_keys_revoke", summary="Revoke an API key")
    def delete(self, request: Request, id: UUID) -> Response:
        """End it."""
        api_key_revoke(user=request.user, id=id)
        return Response(status=204)
