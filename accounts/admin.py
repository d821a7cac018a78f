"""Admin of accounts: people, roles and accounts. Money is shown by ``trading/admin.py``, the highest app that knows its assets."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as BaseGroupAdmin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.models import Group
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounts.models import TradingAccount, TradingAccountMember, User
from brokerage.platform.admin_base import ReadOnlyAdmin

admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(BaseGroupAdmin, ModelAdmin):
    """Roles."""


@admin.register(User)
class UserAdmin(BaseUserAdmin, ModelAdmin):
    """People. Passwords are set through the form, never seen; users are deactivated, not deleted."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    ordering = ("email",)
    list_display = ("email", "display_name", "country", "is_active", "is_staff", "date_joined", "last_login")
    list_filter = ("is_active", "is_staff", "groups", "country")
    search_fields = ("email", "display_name")
    readonly_fields = ("date_joined", "last_login", "email_confirmed_at")
    fieldsets = (
        (None, {"fields": ("email", "password")}),
        ("Person", {"fields": ("display_name", "country", "time_zone")}),
        ("Permissions", {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        ("Dates", {"fields": ("email_confirmed_at", "last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("email", "usable_password", "password1", "password2")}),)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Deactivate instead: what somebody did must stay attributable."""
        return False


@admin.register(TradingAccount)
class TradingAccountAdmin(ReadOnlyAdmin):
    """Accounts and whose they are."""

    account_path = "core_account"

    list_display = ("number", "owner", "kind", "status", "base_currency", "core_account", "created_at")
    list_filter = ("status", "kind")
    search_fields = ("number", "owner__email")
    list_select_related = ("owner",)


@admin.register(TradingAccountMember)
class TradingAccountMemberAdmin(ReadOnlyAdmin):
    """Who may use an account."""

    account_path = "account__core_account"

    list_display = ("account", "user", "role")
    list_filter = ("role",)
    search_fields = ("account__number", "user__email")
    list_select_related = ("account", "user")
