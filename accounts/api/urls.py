"""REST routes of users and accounts, below /api/v1/."""

from django.urls import path

from accounts.api import embed, fix_keys, keys, push, views

urlpatterns = [
    path("auth/register", views.RegisterView.as_view(), name="api-register"),
    path("auth/token", views.TokenView.as_view(), name="api-token"),
    path("auth/token/refresh", views.TokenRefreshView.as_view(), name="api-token-refresh"),
    path("auth/logout", views.LogoutView.as_view(), name="api-logout"),
    path("auth/sign-ins", views.SignInsView.as_view(), name="api-sign-ins"),
    path("auth/sign-ins/<uuid:family_id>", views.SignInView.as_view(), name="api-sign-in"),
    path("api-keys", keys.ApiKeysView.as_view(), name="api-keys"),
    path("api-keys/<uuid:id>", keys.ApiKeyView.as_view(), name="api-key"),
    path("fix-keys", fix_keys.FixKeysView.as_view(), name="api-fix-keys"),
    path("fix-keys/<uuid:id>", fix_keys.FixKeyView.as_view(), name="api-fix-key"),
    path("push-devices", push.PushDevicesView.as_view(), name="api-push-devices"),
    path("push-devices/<uuid:device_id>", push.PushDeviceView.as_view(), name="api-push-device"),
    path("profile", views.ProfileView.as_view(), name="api-profile"),
    path("accounts", views.AccountsView.as_view(), name="api-accounts"),
    path("accounts/<str:number>", views.AccountView.as_view(), name="api-account"),
    path("disclosures", views.DisclosuresView.as_view(), name="api-disclosures"),
    path("ws-ticket", views.WsTicketView.as_view(), name="api-ws-ticket"),
    path("embed-tokens", embed.EmbedTokensView.as_view(), name="api-embed-tokens"),
    path("time", views.TimeView.as_view(), name="api-time"),
    path("errors", views.ErrorsView.as_view(), name="api-errors"),
]
