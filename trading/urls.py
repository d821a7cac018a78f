"""Pages of trading."""

from django.urls import path

from trading.views import embed, limits, pages, status

urlpatterns = [
    path("", pages.home, name="home"),
    path("trade", pages.trade_default, name="trade-default"),
    path("trade/<str:symbol>", pages.trade, name="trade"),
    path("orders", pages.orders, name="orders"),
    path("orders/<str:order_id>", pages.order_detail, name="order"),
    path("portfolio", pages.portfolio, name="portfolio"),
    path("account/ledger", pages.ledger, name="ledger"),
    path("embed/<slug:partner>/portfolio", embed.portfolio, name="embed-portfolio"),
    path("embed/<slug:partner>/portfolio/session", embed.session, name="embed-session"),
    path("embed/<slug:partner>/portfolio/data", embed.data, name="embed-data"),
    path("account/limits", limits.limits, name="limits"),
    path("status", status.status, name="status"),
    path("styleguide", status.styleguide, name="styleguide"),
]
