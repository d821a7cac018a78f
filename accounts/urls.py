"""Pages of accounts."""

from django.urls import path

from accounts.views import identity, profile

urlpatterns = [
    path("signin", identity.sign_in, name="signin"),
    path("signup", identity.sign_up, name="signup"),
    path("signup/done", identity.signed_up, name="signed-up"),
    path("signout", identity.sign_out, name="signout"),
    path("profile", profile.profile, name="profile"),
]
