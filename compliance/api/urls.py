"""REST routes of compliance, below /api/v1/."""

from django.urls import path

import compliance.converters  # noqa: F401 - registers the converter of sequence numbers
from compliance.api import audit, onboarding, webhooks

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
