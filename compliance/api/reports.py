"""REST of the reports to authorities, for compliance officers: figures and rejected rows, the file, the rejects, the summary."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from brokerage.platform.api import ApiView, query_of
from brokerage.platform.api_fields import DayField, StrictSerializer, StrictText
from brokerage.platform.api_schema import documented
from brokerage.platform.pdf import pdf_response
from brokerage.platform.reporting import CsvRenderer, PdfRenderer, csv_response
from compliance.reporting.outcome import NOT_REPORTABLE
from compliance.selectors.report_forms import REJECT_COLUMNS, SHOWN_MAX, reject_rows, report_json
from compliance.selectors.reports import DAYS_MAX, KINDS_OF_REPORT, REFERENCES_MAX, Asked, asked_of
from compliance.services.reports import authority_report, authority_report_pdf


class ReportQuery(StrictSerializer):
    """Whole UTC days, both in it."""

    first = DayField(help_text="First day.")
    last = DayField(help_text=f"Last day, not in the future; at most {DAYS_MAX} days.")
    references = StrictText(
        max_length=1_200, required=False,
        help_text=f"rts22 only: make rows that take these transactions of the days back (CANC); at most {REFERENCES_MAX}, with commas.",
    )  # fmt: skip


class WhyNot(serializers.Serializer[Any]):
    """How many need not be reported, and why."""

    why = serializers.ChoiceField(choices=tuple(NOT_REPORTABLE))
    text = serializers.CharField()
    count = serializers.IntegerField()


class ReasonCount(serializers.Serializer[Any]):
    """How many rows a reason holds back."""

    code = serializers.CharField()
    text = serializers.CharField()
    about = serializers.ChoiceField(choices=("firm", "instrument", "client", "report"))
    mend = serializers.CharField(help_text="Who can mend it.")
    count = serializers.IntegerField()


class RejectRow(serializers.Serializer[Any]):
    """What should have been reported and could not be."""

    key = serializers.CharField(help_text="Id of the execution, or of the order's event.")
    time = serializers.DateTimeField()
    account = serializers.CharField()
    symbol = serializers.CharField()
    reasons = serializers.ListField(child=serializers.CharField())
    missing = serializers.ListField(child=serializers.CharField())
    mend = serializers.ListField(child=serializers.CharField())


class ReportShape(serializers.Serializer[Any]):
    """produced + rejected + not_reportable = total."""

    report = serializers.ChoiceField(choices=tuple(KINDS_OF_REPORT))
    name = serializers.CharField()
    rule = serializers.CharField()
    first = serializers.DateField()
    last = serializers.DateField()
    so_far = serializers.BooleanField(help_text="The last day is not over.")
    made = serializers.DateTimeField()
    seq = serializers.IntegerField(help_text="Event sequence it was made at.")
    total = serializers.IntegerField(help_text="Executions (rts22) or order events (cat) of the days.")
    reportable = serializers.IntegerField()
    produced = serializers.IntegerField()
    lines = serializers.IntegerField(help_text="Rows of the file; a trade of two reported sides is one line of cat.")
    rejected = serializers.IntegerField()
    not_reportable = serializers.IntegerField()
    not_reportable_why = WhyNot(many=True)
    reasons = ReasonCount(many=True)
    rejects = RejectRow(many=True, help_text=f"The first {SHOWN_MAX}.")
    file = serializers.CharField()
    sha256 = serializers.CharField(help_text="Of the file.")


def _asked(request: Request, code: str) -> Asked:
    query = query_of(request, ReportQuery)
    return asked_of(code, query["first"], query["last"], query.get("references", ""))


class JsonLinesRenderer(BaseRenderer):
    """Lets a client ask for application/jsonl; the body is made by the view."""

    media_type = "application/jsonl"
    format = "jsonl"


class AuthorityReportView(ApiView):
    """The figures."""

    throttle_scopes = {"GET": "statement"}

    @documented(
        answer=ReportShape, query=ReportQuery, problems=(404,), tag="compliance", operation="authority_report_get",
        summary="Report to an authority: figures and rejected rows",
    )  # fmt: skip
    def get(self, request: Request, report: str) -> Response:
        """Make it and count."""
        return Response(report_json(authority_report(asked=_asked(request, report), form="json")))


class AuthorityReportFileView(ApiView):
    """The file."""

    throttle_scopes = {"GET": "download"}
    renderer_classes = (CsvRenderer, JsonLinesRenderer, JSONRenderer)

    @documented(
        answer=OpenApiTypes.STR, query=ReportQuery, problems=(404,), tag="compliance", operation="authority_report_file",
        summary="Report to an authority as its file", media="text/csv",
    )  # fmt: skip
    def get(self, request: Request, report: str) -> HttpResponse:
        """CSV of 65 columns (rts22) or JSON lines (cat); the digest of the bytes is recorded in the audit trail."""
        made = authority_report(asked=_asked(request, report), form="file")
        answer = HttpResponse(made.content, content_type=made.asked.kind.media)
        answer["Content-Disposition"] = f'attachment; filename="{made.name}.{made.asked.kind.suffix}"'
        return answer


class AuthorityReportRejectsView(ApiView):
    """The rejects."""

    throttle_scopes = {"GET": "download"}
    renderer_classes = (CsvRenderer, JSONRenderer)

    @documented(
        answer=OpenApiTypes.STR, query=ReportQuery, problems=(404,), tag="compliance", operation="authority_report_rejects",
        summary="Rejected rows of a report as CSV", media="text/csv",
    )  # fmt: skip
    def get(self, request: Request, report: str) -> StreamingHttpResponse:
        """Every row that could not be produced, what is missing and who can mend it."""
        made = authority_report(asked=_asked(request, report), form="rejects")
        return csv_response(f"{made.name}-rejects.csv", REJECT_COLUMNS, reject_rows(made), REJECT_COLUMNS)


class AuthorityReportPdfView(ApiView):
    """The summary."""

    throttle_scopes = {"GET": "download"}
    renderer_classes = (PdfRenderer, JSONRenderer)

    @documented(
        answer=OpenApiTypes.BINARY, query=ReportQuery, problems=(404,), tag="compliance", operation="authority_report_pdf",
        summary="Summary of a report as PDF", media="application/pdf",
    )  # fmt: skip
    def get(self, request: Request, report: str) -> HttpResponse:
        """Figures, reasons, rejected rows and the digest of the file."""
        made, paper = authority_report_pdf(
            asked=_asked(request, report), made_for=str(getattr(request.user, "email", ""))
        )
        return pdf_response(f"{made.name}.pdf", paper)
