"""Pages of accounts."""

from django.urls import path

from accounts.api.views import jwks
from accounts.views import api_access, identity, profile

urlpatterns = [
    path("signin", identity.sign_in, name="signin"),
    path("signup", identity.sign_up, name="signup"),
    path("signup/done", identity.signed_up, name="signed-up"),
    path("signout", identity.sign_out, name="signout"),
    path(".well-known/jwks.json", jwks, name="jwks"),
    path("profile/api", api_access.sign_ins, name="profile-api"),
    path("profile/api-keys", api_access.api_keys, name="profile-api-keys"),
    path("profile", profile.profile, name="profile"),
]
