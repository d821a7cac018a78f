"""REST of the register of rules, for compliance officers."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from brokerage.platform.api import ApiView, listing, query_of
from brokerage.platform.api_fields import StrictSerializer, WordField
from brokerage.platform.api_schema import documented, list_of
from compliance.register import STATES, jurisdictions, rule_row, rules_for


class RegisterQuery(StrictSerializer):
    """Filters; both must fit."""

    jurisdiction = WordField(tuple(jurisdictions()), required=False)
    state = WordField(tuple(STATES), required=False)


class RuleShape(serializers.Serializer[Any]):
    """A rule, what answers it, and what shows that."""

    code = serializers.CharField()
    rule = serializers.CharField()
    source = serializers.CharField()
    jurisdictions = serializers.ListField(child=serializers.CharField())
    state = serializers.ChoiceField(choices=tuple(STATES))
    control = serializers.CharField()
    routes = serializers.ListField(child=serializers.CharField(), help_text="Names of pages and calls.")
    files = serializers.ListField(child=serializers.CharField())
    tests = serializers.ListField(child=serializers.CharField())
    report = serializers.CharField()
    report_route = serializers.CharField(allow_null=True, help_text="Null: the report is not built yet.")
    left = serializers.CharField(allow_blank=True, help_text="What is missing.")


class RegisterView(ApiView):
    """The register."""

    @documented(
        answer=list_of("Rule", RuleShape), query=RegisterQuery, tag="compliance", operation="register_list",
        summary="Register of rules with their controls and reports",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """All rows that fit, in one page."""
        asked = query_of(request, RegisterQuery)
        found = rules_for(asked.get("jurisdiction", ""), asked.get("state", ""))
        return Response(listing([rule_row(row) for row in found]))
