"""REST routes of trading, below /api/v1/."""

from django.urls import path

from trading.api import orders, overview, portfolio, statements, withdrawals

urlpatterns = [
    path("orders", orders.OrdersView.as_view(), name="api-orders"),
    path("orders.csv", orders.OrdersCsvView.as_view(), name="api-orders-csv"),
    path("orders/preview", orders.PreviewView.as_view(), name="api-orders-preview"),
    path("orders/cancel-all", orders.CancelAllView.as_view(), name="api-orders-cancel-all"),
    path(
        "orders/by-client-id/<str:client_order_id>", orders.OrderByClientIdView.as_view(), name="api-order-by-client-id"
    ),
    path("orders/<str:order_id>", orders.OrderView.as_view(), name="api-order"),
    path("orders/<str:order_id>/events", orders.OrderEventsView.as_view(), name="api-order-events"),
    path("executions", portfolio.ExecutionsView.as_view(), name="api-executions"),
    path("executions.csv", portfolio.ExecutionsCsvView.as_view(), name="api-executions-csv"),
    path("balances", portfolio.BalancesView.as_view(), name="api-balances"),
    path("ledger", portfolio.LedgerView.as_view(), name="api-ledger"),
    path("ledger.csv", portfolio.LedgerCsvView.as_view(), name="api-ledger-csv"),
    path("beneficiaries", withdrawals.BeneficiariesView.as_view(), name="api-beneficiaries"),
    path("beneficiaries/<str:beneficiary_id>", withdrawals.BeneficiaryView.as_view(), name="api-beneficiary"),
    path("withdrawals", withdrawals.WithdrawalsView.as_view(), name="api-withdrawals"),
    path("withdrawals.csv", withdrawals.WithdrawalsCsvView.as_view(), name="api-withdrawals-csv"),
    path("withdrawals/<str:withdrawal_id>", withdrawals.WithdrawalView.as_view(), name="api-withdrawal"),
    path("positions", portfolio.PositionsView.as_view(), name="api-positions"),
    path("limits", portfolio.LimitsView.as_view(), name="api-limits"),
    path("accounts/<str:number>/overview", overview.OverviewView.as_view(), name="api-account-overview"),
    path("accounts/<str:number>/statement", statements.StatementView.as_view(), name="api-account-statement"),
    path(
        "accounts/<str:number>/statement.csv", statements.StatementCsvView.as_view(), name="api-account-statement-csv"
    ),
    path(
        "accounts/<str:number>/statement.pdf", statements.StatementPdfView.as_view(), name="api-account-statement-pdf"
    ),
    path("status", portfolio.StatusView.as_view(), name="api-status"),
]
