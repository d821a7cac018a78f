"""Pages of staff."""

from django.urls import path, re_path

from backoffice.views import access, approvals, clients, funding, requests

urlpatterns = [
    path("desk", clients.home, name="desk"),
    path("desk/clients", clients.clients, name="desk-clients"),
    path("desk/clients/<str:number>", clients.client, name="desk-client"),
    path("desk/clients/<str:number>/statement.pdf", clients.client_statement, name="desk-client-statement"),
    path("desk/clients/<str:number>/password-link", clients.password_link, name="desk-password-link"),
    path("desk/clients/<str:number>/tax/<slug:code>/<int:year>.<str:form>", clients.client_tax, name="desk-client-tax"),
    path("desk/clients/<str:number>/view-as", clients.view_as, name="desk-view-as"),
    re_path(
        r"^desk/clients/(?P<number>[A-Z0-9]{1,12})/requests/(?P<kind>money|account_state|account_limits|factor_reset)$",
        clients.client_request,
        name="desk-client-request",
    ),
    path("desk/view-as/end", clients.view_as_stop, name="desk-view-as-end"),
    path("desk/approvals", approvals.approvals, name="desk-approvals"),
    path("desk/approvals/<str:approval_id>", approvals.approval, name="desk-approval"),
    path("desk/funding", funding.funding, name="desk-funding"),
    path("desk/funding/<str:withdrawal_id>", funding.withdrawal, name="desk-withdrawal"),
    path("desk/funding/<str:withdrawal_id>/act", funding.withdrawal_act, name="desk-withdrawal-act"),
    path("desk/requests", requests.requests, name="desk-requests"),
    re_path(r"^desk/requests/(?P<request_id>[0-9]{1,18})$", requests.request_one, name="desk-request"),
    re_path(r"^desk/requests/(?P<request_id>[0-9]{1,18})/act$", requests.request_act, name="desk-request-act"),
    path("desk/access", access.access, name="desk-access"),
    path("desk/access/review.csv", access.review, name="desk-access-review"),
    path("desk/access/roles", access.role_request, name="desk-role-request"),
    path("desk/access/emergency", access.emergency, name="desk-emergency"),
    path("desk/access/<uuid:user_id>/<str:role>/end", access.role_remove, name="desk-role-end"),
]
