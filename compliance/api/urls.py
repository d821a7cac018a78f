"""REST routes of compliance, below /api/v1/."""

from django.urls import path

from compliance.api import onboarding, webhooks

urlpatterns = [
    path("onboarding", onboarding.CaseView.as_view(), name="api-onboarding"),
    path("onboarding/appeal", onboarding.AppealView.as_view(), name="api-onboarding-appeal"),
    path("onboarding/documents", onboarding.DocumentsView.as_view(), name="api-onboarding-documents"),
    path("onboarding/steps/<slug:step>", onboarding.StepView.as_view(), name="api-onboarding-step"),
    path("onboarding/submit", onboarding.SubmitView.as_view(), name="api-onboarding-submit"),
    path("onboarding/webhooks/<slug:vendor>", webhooks.webhook, name="api-onboarding-webhook"),
]
