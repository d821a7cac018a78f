"""REST of the audit trail: checkpoint and consistency for everybody; entries, inclusion proofs and the export for compliance officers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from brokerage.kernel.clock import NS_PER_US, datetime_from_ns
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.api import ApiView, Page, listing, query_of
from brokerage.platform.api_fields import PageQuery, StrictSerializer, StrictText, TimeField, WholeNumber
from brokerage.platform.api_schema import documented, list_of
from brokerage.platform.audit import record
from brokerage.platform.problems import ApiProblem
from compliance.audit.export import export_lines
from compliance.audit.signing import signer
from compliance.selectors import audit, audit_proof

PAGE = Page("audit", 1)
SEQ_MAX = 2**53 - 1


def _moment(ns: int | None) -> datetime | None:
    """The first time an entry can have at or after one asked for: entries have microseconds."""
    return None if ns is None else datetime_from_ns(-(-ns // NS_PER_US) * NS_PER_US)


class NoQuery(StrictSerializer):
    """Takes no parameters."""


class ConsistencyQuery(StrictSerializer):
    """Two sizes of signed trees."""

    older = WholeNumber(low=1, high=SEQ_MAX, help_text="Size of the older tree.")
    newer = WholeNumber(low=1, high=SEQ_MAX, help_text="Size of the newer tree.")


class EntriesQuery(PageQuery):
    """Filters of the list; all must fit."""

    actor = StrictText(max_length=64, required=False)
    object_type = StrictText(max_length=64, required=False)
    object_id = StrictText(max_length=128, required=False)
    action = StrictText(max_length=64, required=False)
    from_ = TimeField(required=False, help_text="At or after.")
    to = TimeField(required=False, help_text="Before; later than from.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """The later time must be the later."""
        since, until = attrs.get("from"), attrs.get("to")
        if since is not None and until is not None and since >= until:
            raise ApiProblem(
                RejectCode.VALUE_OUT_OF_RANGE, "to must be later than from.", needed="a time after from", field="to"
            )
        return attrs


class CheckpointBody(serializers.Serializer[Any]):
    """A signed note and the keys to check it with."""

    size = serializers.CharField()
    note = serializers.CharField(help_text="C2SP signed note.")
    public_key = serializers.CharField(help_text="Ed25519, base64.")
    previous_keys = serializers.ListField(child=serializers.CharField())


class ConsistencyBody(serializers.Serializer[Any]):
    """An RFC 9162 consistency proof."""

    to = serializers.IntegerField()
    path = serializers.ListField(child=serializers.CharField())

    def get_fields(self) -> dict[str, Any]:
        """``from`` is a word of Python's own, so it is added here."""
        return {"from": serializers.IntegerField(), **super().get_fields()}


class InclusionBody(serializers.Serializer[Any]):
    """An RFC 9162 inclusion proof with what its leaf is made of."""

    seq = serializers.IntegerField()
    size = serializers.IntegerField()
    canonical = serializers.CharField()
    prev_hash = serializers.CharField()
    entry_hash = serializers.CharField()
    path = serializers.ListField(child=serializers.CharField())
    checkpoint = serializers.CharField()


class EntryRow(serializers.Serializer[Any]):
    """An entry as a list shows it."""

    seq = serializers.CharField()
    time = serializers.CharField()
    actor_type = serializers.CharField()
    actor = serializers.CharField()
    on_behalf_of = serializers.CharField()
    action = serializers.CharField()
    object_type = serializers.CharField()
    object_id = serializers.CharField()
    subject = serializers.CharField()
    request_id = serializers.CharField()
    entry_hash = serializers.CharField()


class EntryBody(EntryRow):
    """An entry with its opened payload."""

    state = serializers.ChoiceField(choices=("open", "erased", "unreadable"))
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)
    reason = serializers.CharField()
    ip = serializers.CharField()


class CheckpointView(ApiView):
    """The newest checkpoint."""

    authentication_classes = ()
    permission_classes = ()

    @documented(
        answer=CheckpointBody, public=True, problems=(404,), tag="audit", operation="audit_checkpoint",
        summary="Newest signed checkpoint",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Show it with the public keys."""
        query_of(request, NoQuery)
        point, keys = audit.checkpoint_latest(), signer()
        return Response(
            {
                "size": str(point.size),
                "note": point.note,
                "public_key": keys.public_text,
                "previous_keys": list(keys.previous),
            }
        )


class ConsistencyView(ApiView):
    """That one signed tree is the beginning of another."""

    authentication_classes = ()
    permission_classes = ()

    @documented(
        answer=ConsistencyBody, public=True, problems=(404,), query=ConsistencyQuery, tag="audit",
        operation="audit_consistency", summary="Consistency proof",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """The proof."""
        asked = query_of(request, ConsistencyQuery)
        return Response(audit.consistency_get(asked["older"], asked["newer"]))


class EntriesView(ApiView):
    """Search."""

    @documented(
        answer=list_of("AuditEntry", EntryRow),
        query=EntriesQuery,
        tag="audit",
        operation="audit_entries",
        summary="Search entries",
    )
    def get(self, request: Request) -> Response:
        """A page, newest first."""
        asked = query_of(request, EntriesQuery)
        names = ("actor", "object_type", "object_id", "action")
        found = audit.entries_for(
            **{name: asked.get(name) or "" for name in names},
            since=_moment(asked.get("from")),
            until=_moment(asked.get("to")),
        )
        if asked.get("cursor"):
            found = found.filter(seq__lt=PAGE.decode(asked["cursor"])[0])
        rows = list(found.defer("payload")[: asked["limit"] + 1])
        more = len(rows) > asked["limit"]
        rows = rows[: asked["limit"]]
        return Response(listing([audit.entry_row(row) for row in rows], PAGE.encode([rows[-1].seq]) if more else None))


class EntryView(ApiView):
    """One entry."""

    @documented(answer=EntryBody, problems=(404,), tag="audit", operation="audit_entry", summary="One entry")
    def get(self, request: Request, seq: int) -> Response:
        """With before and after."""
        query_of(request, NoQuery)
        entry = audit.entry_get(seq)
        record("audit_entry.opened", object_type="audit_entry", object_id=seq)
        return Response(audit.entry_detail(entry))


class InclusionView(ApiView):
    """That an entry is in the signed tree."""

    @documented(
        answer=InclusionBody, problems=(404,), tag="audit", operation="audit_inclusion", summary="Inclusion proof"
    )
    def get(self, request: Request, seq: int) -> Response:
        """The proof, with its checkpoint."""
        query_of(request, NoQuery)
        return Response(audit_proof.inclusion_get(audit.entry_get(seq)))


class ExportView(ApiView):
    """The whole signed trail, for the stand-alone verifier."""

    throttle_scopes = {"GET": "download"}

    @documented(
        answer=OpenApiTypes.STR, problems=(404,), tag="audit", operation="audit_export", summary="Export as JSONL",
        media="application/jsonl",
    )  # fmt: skip
    def get(self, request: Request) -> StreamingHttpResponse:
        """Every entry up to the newest checkpoint, one a line."""
        query_of(request, NoQuery)
        record("audit.exported", object_type="audit_entry", object_id="all", after={"form": "jsonl"})
        answer = StreamingHttpResponse(
            export_lines(audit.checkpoint_latest().size), content_type="application/jsonl; charset=utf-8"
        )
        answer["Content-Disposition"] = 'attachment; filename="audit.jsonl"'
        return answer
