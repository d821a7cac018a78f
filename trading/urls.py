"""Pages of trading."""

from django.urls import path

from trading.views import embed, limits, pages, statements, status, withdrawals

urlpatterns = [
    path("", pages.home, name="home"),
    path("trade", pages.trade_default, name="trade-default"),
    path("trade/<str:symbol>", pages.trade, name="trade"),
    path("orders", pages.orders, name="orders"),
    path("orders/<str:order_id>", pages.order_detail, name="order"),
    path("portfolio", pages.portfolio, name="portfolio"),
    path("account/ledger", pages.ledger, name="ledger"),
    path("account/statements", statements.statements, name="statements"),
    path("embed/<slug:partner>/portfolio", embed.portfolio, name="embed-portfolio"),
    path("embed/<slug:partner>/portfolio/session", embed.session, name="embed-session"),
    path("embed/<slug:partner>/portfolio/data", embed.data, name="embed-data"),
    path("account/limits", limits.limits, name="limits"),
    path("account/withdrawals", withdrawals.withdrawals, name="withdrawals"),
    path("account/withdraw", withdrawals.withdraw, name="withdraw"),
    path("account/withdrawals/<str:withdrawal_id>/cancel", withdrawals.cancel, name="withdrawal-cancel"),
    path("account/destinations/new", withdrawals.beneficiary_new, name="beneficiary-add"),
    path("account/destinations/<str:beneficiary_id>/remove", withdrawals.beneficiary_end, name="beneficiary-remove"),
    path("status", status.status, name="status"),
    path("styleguide", status.styleguide, name="styleguide"),
]
