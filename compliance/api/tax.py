"""REST of an account's tax documents: which there are, and each as CSV and PDF."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.selectors.access import account_for_user
from brokerage.platform.api import ApiView, listing
from brokerage.platform.api_schema import documented, list_of
from brokerage.platform.pdf import pdf_response
from brokerage.platform.reporting import CsvRenderer, PdfRenderer
from compliance.selectors.tax import OPEN, OVER, SO_FAR, tax_list_for
from compliance.selectors.tax_forms import listed_json
from compliance.services.tax import csv_answer, tax_name, tax_pdf
from compliance.tax.years import KINDS


class TaxDocumentShape(serializers.Serializer[Any]):
    """A document there is."""

    code = serializers.ChoiceField(choices=tuple(KINDS))
    title = serializers.CharField()
    year = serializers.IntegerField(
        help_text="The calendar year in which the tax year begins: what the files are asked by."
    )
    label = serializers.CharField(help_text="As people name the year: 2026, or 2026-27.")
    first = serializers.DateField()
    last = serializers.DateField(help_text="In it.")
    state = serializers.ChoiceField(
        choices=(SO_FAR, OPEN, OVER),
        help_text="so_far: the year is not over. open: it is, and purchases of the next thirty days can still change it.",
    )
    applies = serializers.BooleanField(help_text="False: there is nothing in it.")


class TaxDocumentsView(ApiView):
    """The list."""

    throttle_scopes = {"GET": "statement"}

    @documented(
        answer=list_of("TaxDocument", TaxDocumentShape), problems=(404,), tag="accounts", operation="tax_documents_list",
        summary="Tax documents of an account: those of its owner's jurisdiction, by year",
    )  # fmt: skip
    def get(self, request: Request, number: str) -> Response:
        """All of them in one page, newest year first; empty where the jurisdiction names none."""
        return Response(listing([listed_json(row) for row in tax_list_for(account_for_user(request.user.pk, number))]))


class TaxDocumentCsvView(ApiView):
    """A document as a table."""

    throttle_scopes = {"GET": "download"}
    renderer_classes = (CsvRenderer, JSONRenderer)

    @documented(
        answer=str, problems=(404,), tag="accounts", operation="tax_document_csv", summary="Tax document as CSV", media="text/csv",
    )  # fmt: skip
    def get(self, request: Request, number: str, code: str, year: int) -> HttpResponse:
        """Totals, lines, and what could not be worked out; ``section`` says what a row is. The digest of the file is recorded."""
        return csv_answer(account=account_for_user(request.user.pk, number), code=code, year=year)


class TaxDocumentPdfView(ApiView):
    """A document on paper."""

    throttle_scopes = {"GET": "download"}
    renderer_classes = (PdfRenderer, JSONRenderer)

    @documented(
        answer=OpenApiTypes.BINARY, problems=(404,), tag="accounts", operation="tax_document_pdf", summary="Tax document as PDF",
        media="application/pdf",
    )  # fmt: skip
    def get(self, request: Request, number: str, code: str, year: int) -> HttpResponse:
        """The same as a document; the digest of its bytes is recorded."""
        account = account_for_user(request.user.pk, number)
        made = tax_pdf(account=account, code=code, year=year, made_for=str(getattr(request.user, "email", "")))
        return pdf_response(tax_name(account, code, year, "pdf"), made)
