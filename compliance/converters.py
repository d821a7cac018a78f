"""Parts of addresses that compliance has: a sequence number of the audit trail."""

from django.urls import register_converter
from django.urls.converters import IntConverter


class SeqConverter(IntConverter):
    """A sequence number that fits the column."""

    regex = "[0-9]{1,15}"


register_converter(SeqConverter, "auditseq")
