"""Every route of the fallback app (process ``web-fallback``), which must work with PostgreSQL alone. Rows: brokerage/platform/policy_fallback.py."""

from django.urls import path, re_path

from accounts.views import fallback as sign_in
from brokerage.platform import web
from trading.views import fallback

urlpatterns = [
    path("", fallback.home, name="fallback-home"),
    path("signin", sign_in.sign_in, name="fallback-signin"),
    path("second-step", sign_in.second, name="fallback-second"),
    path("signout", sign_in.sign_out, name="fallback-signout"),
    path("cancel/<str:order_id>", fallback.cancel, name="fallback-cancel"),
    path("close/<str:symbol>", fallback.close, name="fallback-close"),
    path("requests", fallback.requests, name="fallback-requests"),
    re_path(r"^requests/(?P<request_id>[0-9]{1,18})/withdraw$", fallback.withdraw, name="fallback-withdraw"),
    path("health/live", web.health_live, name="health-live"),
    path("health/ready", fallback.health_ready, name="health-ready"),
]

handler400 = "brokerage.platform.web.page_400"
handler403 = "brokerage.platform.web.page_403"
handler404 = "brokerage.platform.web.page_404"
handler500 = "brokerage.platform.web.page_500"
