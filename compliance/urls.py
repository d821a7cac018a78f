"""Pages of compliance."""

from django.urls import path

import compliance.converters  # noqa: F401 - registers the converter of sequence numbers
from compliance.views import audit, officers, onboarding, proof, register, reports, tax

urlpatterns = [
    path("account/reports", tax.reports, name="reports"),
    path("compliance/audit", audit.search, name="audit-search"),
    path("compliance/audit/search.csv", audit.table, name="audit-csv"),
    path("compliance/audit/search.pdf", audit.paper, name="audit-pdf"),
    path("compliance/audit/proofs.jsonl", audit.proofs, name="audit-proofs"),
    path("compliance/audit/<auditseq:seq>", audit.entry, name="audit-entry"),
    path("compliance/audit/<auditseq:seq>/proof.json", audit.proof, name="audit-proof"),
    path("compliance/audit/<auditseq:seq>/record.pdf", audit.entry_paper, name="audit-record-pdf"),
    path("compliance/register", register.rules, name="rules-register"),
    path("compliance/register.csv", register.table, name="rules-register-csv"),
    path("compliance/reports", reports.reports, name="authority-reports"),
    path("compliance/kyc", officers.queue, name="kyc-queue"),
    path("compliance/kyc/<uuid:case_id>", officers.case, name="kyc-case"),
    path("compliance/kyc/<uuid:case_id>/file.pdf", officers.paper, name="kyc-file"),
    path("compliance/kyc/<uuid:case_id>/decide", officers.decide, name="kyc-decide"),
    path("compliance/kyc/hits/<uuid:hit_id>", officers.hit, name="kyc-hit"),
    path("compliance/kyc/proposals/<int:proposal_id>", officers.proposal, name="kyc-proposal"),
    path("onboarding", onboarding.overview, name="onboarding"),
    path("onboarding/appeal", onboarding.appeal, name="onboarding-appeal"),
    path("onboarding/documents/<str:token>", onboarding.document, name="kyc-document"),
    path("onboarding/status", onboarding.status, name="onboarding-status"),
    path("onboarding/submit", onboarding.submit, name="onboarding-submit"),
    path("onboarding/steps/<slug:name>", onboarding.step, name="onboarding-step"),
    path("onboarding/entity/<str:number>", onboarding.overview, name="entity"),
    path("onboarding/entity/<str:number>/appeal", onboarding.appeal, name="entity-appeal"),
    path("onboarding/entity/<str:number>/status", onboarding.status, name="entity-status"),
    path("onboarding/entity/<str:number>/submit", onboarding.submit, name="entity-submit"),
    path("onboarding/entity/<str:number>/steps/<slug:name>", onboarding.step, name="entity-step"),
    path("proof", proof.proof, name="proof"),
    path("proof/verify_audit.py", proof.verifier, name="proof-verifier"),
]
