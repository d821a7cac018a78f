"""Pages of accounts."""

from django.urls import path

from accounts.views import demo_mail, factors, identity, mail_links, profile, security

urlpatterns = [
    path("signin", identity.sign_in, name="signin"),
    path("signup", identity.sign_up, name="signup"),
    path("signup/done", identity.signed_up, name="signed-up"),
    path("signout", identity.sign_out, name="signout"),
    path("confirm", mail_links.confirm_send, name="confirm-send"),
    path("confirm/<str:token>", mail_links.confirm, name="confirm"),
    path("recover", mail_links.recover, name="recover"),
    path("recover/<str:token>", mail_links.recover_set, name="recover-set"),
    path("email/old/<str:token>", mail_links.email_change, {"end": "old"}, name="email-old"),
    path("email/new/<str:token>", mail_links.email_change, {"end": "new"}, name="email-new"),
    path("freeze/<str:token>", mail_links.freeze, name="freeze"),
    path("security", security.security, name="security"),
    path("security/password", security.password, name="password"),
    path("security/email", security.email, name="email"),
    path("security/sessions/<uuid:session_id>/end", security.session_stop, name="session-stop"),
    path("security/sessions/end", security.sessions_stop, name="sessions-stop"),
    path("security/history", security.history, name="login-history"),
    path("security/lock", security.lock, name="settings-lock"),
    path("security/unlock", security.unlock, name="settings-unlock"),
    path("security/freeze", security.freeze, name="freeze-own"),
    path("signin/second", factors.second, name="second-step"),
    path("passkey/options", factors.passkey_use_options, name="passkey-use-options"),
    path("passkey", factors.passkey_use, name="passkey-use"),
    path("step-up", factors.confirm_again, name="step-up"),
    path("security/authenticator", factors.totp, name="totp"),
    path("security/authenticator/remove", factors.totp_remove, name="totp-remove"),
    path("security/recovery-codes", factors.codes_make, name="recovery-codes"),
    path("security/passkeys/add", factors.passkey_add, name="passkey-add"),
    path("security/passkeys/options", factors.passkey_register_options, name="passkey-register-options"),
    path("security/passkeys", factors.passkey_register, name="passkey-register"),
    path("security/passkeys/<uuid:uid>/remove", factors.passkey_remove, name="passkey-remove"),
    path("profile", profile.profile, name="profile"),
    path("demo/mail", demo_mail.demo_mail, name="demo-mail"),
]
