"""REST views of FIX keys. For people only: no key can make or end a key (``brokerage/platform/policy.py``)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import schemas
from accounts.models import FixKey
from accounts.selectors.access import account_number
from accounts.selectors.credentials import fix_keys_of
from accounts.selectors.factors import second_factor_enrolled
from accounts.services.api_keys import DAYS_MAX, NETWORKS_MAX
from accounts.services.fix_keys import FIX_SCOPES, fix_key_create, fix_key_revoke
from accounts.services.step_up import step_up_required
from brokerage.config import get_config
from brokerage.kernel.clock import ns_from_datetime, rfc3339
from brokerage.platform.api import ApiView, listing, query_of
from brokerage.platform.api_fields import StrictSerializer, StrictText
from brokerage.platform.api_schema import documented, list_of


class FixKeyBody(StrictSerializer):
    """A new FIX session."""

    name = StrictText(max_length=80)
    account = StrictText(max_length=12, required=False, help_text="The account's number; without it the first.")
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=FIX_SCOPES), min_length=1, max_length=len(FIX_SCOPES)
    )
    networks = serializers.ListField(
        child=StrictText(max_length=43),
        required=False,
        max_length=NETWORKS_MAX,
        help_text="Addresses or CIDR networks it may connect from; empty: anywhere.",
    )
    expires_in_days = serializers.IntegerField(min_value=1, max_value=DAYS_MAX, required=False)
    cancel_on_disconnect = serializers.BooleanField(
        required=False, help_text="Cancel the session's open orders whenever its connection ends."
    )


class FixKeyAnswer(serializers.Serializer[Any]):
    """A FIX session; its secret, the password, is only in the answer that made it."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    account = serializers.CharField()
    sender_comp_id = serializers.CharField()
    target_comp_id = serializers.CharField()
    scopes = serializers.ListField(child=serializers.CharField())
    networks = serializers.ListField(child=serializers.CharField())
    cancel_on_disconnect = serializers.BooleanField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)
    last_address = serializers.CharField()


class FixKeyCreated(FixKeyAnswer):
    """A FIX session just made."""

    secret = serializers.CharField(help_text="Password (554). Shown this once.")


def _time(value: Any) -> str | None:
    return rfc3339(ns_from_datetime(value)) if value is not None else None


def fix_key_json(key: FixKey) -> dict[str, Any]:
    """A FIX session as the API shows it."""
    return {
        "id": str(key.pk),
        "name": key.name,
        "account": account_number(key.account.core_account),
        "sender_comp_id": key.comp_id,
        "target_comp_id": get_config().fix_comp_id,
        "scopes": key.scopes,
        "networks": key.networks,
        "cancel_on_disconnect": key.cancel_on_disconnect,
        "created_at": _time(key.created_at),
        "expires_at": _time(key.expires_at),
        "last_used_at": _time(key.last_used_at),
        "last_address": key.last_address,
    }


class FixKeysView(ApiView):
    """Own FIX sessions."""

    @documented(
        answer=list_of("FixKey", FixKeyAnswer), tag="auth", operation="fix_keys_list", summary="Own FIX sessions"
    )
    def get(self, request: Request) -> Response:
        """List those that were not revoked."""
        query_of(request, schemas.NoQuery)
        return Response(listing([fix_key_json(key) for key in fix_keys_of(request.user)]))

    @documented(
        answer=FixKeyCreated, body=FixKeyBody, status=201, problems=(404,), tag="auth", operation="fix_keys_create",
        summary="Create a FIX session",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Make one for an account one may trade with. Needs a fresh second factor when the user has one."""
        data = self.body(FixKeyBody)
        if second_factor_enrolled(request.user.pk):
            step_up_required(request, "api_key")
        key, password = fix_key_create(user=request.user, account=data.pop("account", None), **data)
        return Response({**fix_key_json(key), "secret": password}, status=201)


class FixKeyView(ApiView):
    """One FIX session."""

    @documented(status=204, problems=(404,), tag="auth", operation="fix_keys_revoke", summary="Revoke a FIX session")
    def delete(self, request: Request, id: UUID) -> Response:
        """End it; a connection that uses it is logged out within seconds."""
        fix_key_revoke(user=request.user, id=id)
        return Response(status=204)
