"""REST routes of the back office, below /api/v1/."""

from django.urls import path

from backoffice.api import views

urlpatterns = [
    path("desk/approvals", views.ApprovalsView.as_view(), name="api-desk-approvals"),
    path("desk/approvals/<str:approval_id>", views.ApprovalView.as_view(), name="api-desk-approval"),
    path("desk/approvals/<str:approval_id>/decision", views.DecisionView.as_view(), name="api-desk-decision"),
]
