"""Pages of compliance."""

from django.urls import path

from compliance.views import onboarding

urlpatterns = [
    path("onboarding", onboarding.overview, name="onboarding"),
    path("onboarding/appeal", onboarding.appeal, name="onboarding-appeal"),
    path("onboarding/documents/<str:token>", onboarding.document, name="kyc-document"),
    path("onboarding/status", onboarding.status, name="onboarding-status"),
    path("onboarding/submit", onboarding.submit, name="onboarding-submit"),
    path("onboarding/steps/<slug:name>", onboarding.step, name="onboarding-step"),
]
