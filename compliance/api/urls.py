"""REST routes of compliance, below /api/v1/."""

from django.urls import path, register_converter
from django.urls.converters import IntConverter

from compliance.api import audit, onboarding, webhooks


class SeqConverter(IntConverter):
    """A sequence number that fits the column."""

    regex = "[0-9]{1,15}"


register_converter(SeqConverter, "auditseq")

urlpatterns = [
    path("audit/checkpoint", audit.CheckpointView.as_view(), name="api-audit-checkpoint"),
    path("audit/consistency", audit.ConsistencyView.as_view(), name="api-audit-consistency"),
    path("audit/entries", audit.EntriesView.as_view(), name="api-audit-entries"),
    path("audit/entries/<auditseq:seq>", audit.EntryView.as_view(), name="api-audit-entry"),
    path("audit/entries/<auditseq:seq>/proof", audit.InclusionView.as_view(), name="api-audit-inclusion"),
    path("audit/export", audit.ExportView.as_view(), name="api-audit-export"),
    path("onboarding", onboarding.CaseView.as_view(), name="api-onboarding"),
    path("onboarding/appeal", onboarding.AppealView.as_view(), name="api-onboarding-appeal"),
    path("onboarding/documents", onboarding.DocumentsView.as_view(), name="api-onboarding-documents"),
    path("onboarding/steps/<slug:step>", onboarding.StepView.as_view(), name="api-onboarding-step"),
    path("onboarding/submit", onboarding.SubmitView.as_view(), name="api-onboarding-submit"),
    path("onboarding/webhooks/<slug:vendor>", webhooks.webhook, name="api-onboarding-webhook"),
]
