"""Admin of accounts: people, roles and accounts. Money is shown by ``trading/admin.py``, the highest app that knows its assets."""

from __future__ import annotations

from typing import Any

from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as BaseGroupAdmin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounts.models import ChangeRequest, TradingAccount, TradingAccountMember, User
from accounts.services.personal import change_decide, change_values, personal_get
from brokerage.kernel.errors import RejectedError
from brokerage.platform.admin_base import ReadOnlyAdmin

admin.site.unregister(Group)
# Tables of django-allauth that nothing here uses; a secret typed into them would lie open.
admin.site.unregister((EmailAddress, SocialAccount, SocialApp, SocialToken))


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

    list_display = ("number", "owner", "kind", "status", "base_currency", "core_account", "created_at")
    list_filter = ("status", "kind")
    search_fields = ("number", "owner__email")
    list_select_related = ("owner",)


@admin.register(TradingAccountMember)
class TradingAccountMemberAdmin(ReadOnlyAdmin):
    """Who may use an account."""

    list_display = ("account", "user", "role")
    list_filter = ("role",)
    search_fields = ("account__number", "user__email")
    list_select_related = ("account", "user")


@admin.register(ChangeRequest)
class ChangeRequestAdmin(ReadOnlyAdmin):
    """Changes of personal data that wait for a decision. The values are shown on a request's own page only."""

    list_display = ("created_at", "user", "fields", "status", "decided_by", "decided_at")
    list_filter = ("status",)
    search_fields = ("user__email",)
    list_select_related = ("user", "decided_by")
    exclude = ("sealed",)
    readonly_fields = ("values_now", "values_wanted")
    actions = ("approve", "refuse")

    def has_decide_permission(self, request: HttpRequest) -> bool:
        """Who may decide."""
        return request.user.has_perm("accounts.decide_changerequest")

    @admin.display(description="Now")
    def values_now(self, row: ChangeRequest) -> str:
        """What is known of the fields."""
        known = personal_get(row.user)
        return "; ".join(f"{name}: {known[name]}" for name in row.fields)

    @admin.display(description="Wanted")
    def values_wanted(self, row: ChangeRequest) -> str:
        """What they are to be."""
        return "; ".join(f"{name}: {text}" for name, text in sorted(change_values(row).items()))

    @admin.action(description="Approve the chosen requests", permissions=["decide"])
    def approve(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Approve."""
        self._decide(request, queryset, approve=True)

    @admin.action(description="Refuse the chosen requests", permissions=["decide"])
    def refuse(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Refuse."""
        self._decide(request, queryset, approve=False)

    def _decide(self, request: HttpRequest, queryset: QuerySet[Any], *, approve: bool) -> None:
        for row in queryset[:100]:
            try:
                change_decide(request_id=row.pk, staff=request.user, approve=approve)  # type: ignore[arg-type]
                self.message_user(request, f"{row.user}: {'approved' if approve else 'refused'}.")
            except RejectedError as error:
                self.message_user(request, f"{row.user}: {error}", messages.ERROR)
