"""REST routes of compliance, below /api/v1/."""

from django.urls import path

import compliance.converters  # noqa: F401 - registers the converter of sequence numbers
from compliance.api import audit, entities, onboarding, register, reports, tax, webhooks

urlpatterns = [
    path("accounts/<str:number>/tax-documents", tax.TaxDocumentsView.as_view(), name="api-account-tax"),
    path(
        "accounts/<str:number>/tax-documents/<slug:code>/<int:year>.csv",
        tax.TaxDocumentCsvView.as_view(),
        name="api-account-tax-csv",
    ),
    path(
        "accounts/<str:number>/tax-documents/<slug:code>/<int:year>.pdf",
        tax.TaxDocumentPdfView.as_view(),
        name="api-account-tax-pdf",
    ),
    path("audit/checkpoint", audit.CheckpointView.as_view(), name="api-audit-checkpoint"),
    path("audit/consistency", audit.ConsistencyView.as_view(), name="api-audit-consistency"),
    path("audit/entries", audit.EntriesView.as_view(), name="api-audit-entries"),
    path("audit/entries/<auditseq:seq>", audit.EntryView.as_view(), name="api-audit-entry"),
    path("audit/entries/<auditseq:seq>/proof", audit.InclusionView.as_view(), name="api-audit-inclusion"),
    path("audit/export", audit.ExportView.as_view(), name="api-audit-export"),
    path("compliance/register", register.RegisterView.as_view(), name="api-rules-register"),
    path("compliance/reports/<slug:report>", reports.AuthorityReportView.as_view(), name="api-authority-report"),
    path(
        "compliance/reports/<slug:report>/file",
        reports.AuthorityReportFileView.as_view(),
        name="api-authority-report-file",
    ),
    path(
        "compliance/reports/<slug:report>/rejects.csv",
        reports.AuthorityReportRejectsView.as_view(),
        name="api-authority-report-rejects",
    ),
    path(
        "compliance/reports/<slug:report>/summary.pdf",
        reports.AuthorityReportPdfView.as_view(),
        name="api-authority-report-pdf",
    ),
    path("onboarding", onboarding.CaseView.as_view(), name="api-onboarding"),
    path("onboarding/appeal", onboarding.AppealView.as_view(), name="api-onboarding-appeal"),
    path("onboarding/documents", onboarding.DocumentsView.as_view(), name="api-onboarding-documents"),
    path("onboarding/entities", entities.EntitiesView.as_view(), name="api-onboarding-entities"),
    path("onboarding/entities/<str:number>", entities.EntityView.as_view(), name="api-onboarding-entity"),
    path(
        "onboarding/entities/<str:number>/appeal",
        entities.EntityAppealView.as_view(),
        name="api-onboarding-entity-appeal",
    ),
    path(
        "onboarding/entities/<str:number>/documents",
        entities.EntityDocumentsView.as_view(),
        name="api-onboarding-entity-documents",
    ),
    path(
        "onboarding/entities/<str:number>/owners",
        entities.EntityOwnersView.as_view(),
        name="api-onboarding-entity-owners",
    ),
    path(
        "onboarding/entities/<str:number>/steps/<slug:step>",
        entities.EntityStepView.as_view(),
        name="api-onboarding-entity-step",
    ),
    path(
        "onboarding/entities/<str:number>/submit",
        entities.EntitySubmitView.as_view(),
        name="api-onboarding-entity-submit",
    ),
    path("onboarding/steps/<slug:step>", onboarding.StepView.as_view(), name="api-onboarding-step"),
    path("onboarding/submit", onboarding.SubmitView.as_view(), name="api-onboarding-submit"),
    path("onboarding/webhooks/<slug:vendor>", webhooks.webhook, name="api-onboarding-webhook"),
]
