"""All HTTP routes. Each app has ``urls.py`` (pages) and ``api/urls.py`` (REST, under /api/v1)."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from brokerage.platform import web
from trading.api.fallback import UnknownView

urlpatterns = [
    # Looked through from the top for every request: orders first.
    path("api/v1/", include("trading.api.urls")),
    path("api/v1/", include("marketdata.api.urls")),
    path("api/v1/", include("accounts.api.urls")),
    path("api/v1/", include("compliance.api.urls")),
    path("api/v1/", include("backoffice.api.urls")),
    path("api/v1/", include([re_path(r"^", UnknownView.as_view(), name="api-unknown")])),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="api-docs"),
    # Before the maker's own page, which would change a password without ending other sessions.
    path(
        f"{settings.ADMIN_PATH}/password_change/", RedirectView.as_view(pattern_name="password"), name="admin-password"
    ),
    path(f"{settings.ADMIN_PATH}/", admin.site.urls),
    path("health/live", web.health_live, name="health-live"),
    path("health/ready", web.health_ready, name="health-ready"),
    path("version", web.version, name="version"),
    path("", include("accounts.urls")),
    path("", include("compliance.urls")),
    path("", include("marketdata.urls")),
    path("", include("trading.urls")),
    path("", include("backoffice.urls")),
]

handler400 = "brokerage.platform.web.page_400"
handler403 = "brokerage.platform.web.page_403"
handler404 = "brokerage.platform.web.page_404"
handler500 = "brokerage.platform.web.page_500"
