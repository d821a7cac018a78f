"""Admin of accounts: people, roles and accounts. Money is shown by ``trading/admin.py``, the highest app that knows its assets."""

from __future__ import annotations

from typing import Any

from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as BaseGroupAdmin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin
from unfold.forms import UserChangeForm, UserCreationForm

from accounts.models import ChangeRequest, TradingAccount, TradingAccountMember, User
from accounts.services.personal import change_decide, change_values, personal_get
from brokerage.kernel.errors import RejectedError
from brokerage.platform import audit
from brokerage.platform.admin_base import ReadOnlyAdmin
from brokerage.platform.auth import users_forget

admin.site.unregister(Group)
# Tables of django-allauth that nothing here uses; a secret typed into them would lie open.
admin.site.unregister((EmailAddress, SocialAccount, SocialApp, SocialToken))


@admin.register(Group)
class GroupAdmin(BaseGroupAdmin, ModelAdmin):
    """Roles, to look at: what they may is declared in ``accounts/roles.py``."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Declared, not added."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        """Declared, not changed."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        """Declared, not deleted."""
        return False


@admin.register(User)
class UserAdmin(BaseUserAdmin, ModelAdmin):
    """People. Users are deactivated, not deleted.

    Roles and powers are given by two people on the desk, so they are shown here and not changed; nor can anybody set another's password or
    address here, which would be a way to become them.
    """

    form = UserChangeForm
    add_form = UserCreationForm
    ordering = ("email",)
    list_display = ("email", "display_name", "country", "is_active", "is_staff", "date_joined", "last_login")
    list_filter = ("is_active", "is_staff", "groups", "country")
    search_fields = ("email", "display_name")
    readonly_fields = (
        "date_joined",
        "last_login",
        "email_confirmed_at",
        "is_staff",
        "is_superuser",
        "groups",
        "user_permissions",
    )
    fieldsets = (
        (None, {"fields": ("email",)}),
        ("Person", {"fields": ("display_name", "country", "time_zone")}),
        ("Permissions", {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        ("Dates", {"fields": ("email_confirmed_at", "last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("email", "usable_password", "password1", "password2")}),)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        """The address can be set once."""
        return (*self.readonly_fields, "email") if obj else self.readonly_fields

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Nobody sets another's password."""
        raise PermissionDenied

    def save_model(self, request: HttpRequest, obj: User, form: forms.ModelForm, change: bool) -> None:
        """Record what was changed; a user shut out is out at once."""
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            changed = [name for name in form.changed_data if "password" not in name]
            audit.record(
                "user.changed" if change else "user.added", object_type="user", object_id=obj.pk, subject=obj.pk,
                after={name: str(getattr(obj, name, "")) for name in changed},
            )  # fmt: skip
        users_forget(obj.pk)

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
