"""Pages of trading."""

from django.urls import path

from trading.views import limits, pages, status

urlpatterns = [
    path("", pages.home, name="home"),
    path("trade", pages.trade_default, name="trade-default"),
    path("trade/<str:symbol>", pages.trade, name="trade"),
    path("orders", pages.orders, name="orders"),
    path("orders/<str:order_id>", pages.order_detail, name="order"),
    path("portfolio", pages.portfolio, name="portfolio"),
    path("account/ledger", pages.ledger, name="ledger"),
    path("account/limits", limits.limits, name="limits"),
    path("status", status.status, name="status"),
    path("styleguide", status.styleguide, name="styleguide"),
]
