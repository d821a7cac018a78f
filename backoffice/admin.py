"""Admin of the back office: desks, client groups and who works there; approvals, roles and emergencies to look at, never to change."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from guardian.shortcuts import get_users_with_perms
from unfold.admin import ModelAdmin

from accounts.models import TradingAccount, User
from backoffice.models import Approval, BreakGlass, ClientGroup, Desk, RoleGrant, ViewAs
from backoffice.services.desks import desk_assign, group_accounts_set
from brokerage.platform.admin_base import ReadOnlyAdmin


class WorkersForm(forms.ModelForm):
    """A desk or group with the people who work there."""

    workers = forms.ModelMultipleChoiceField(
        queryset=User.objects.none(), required=False, help_text="Members of staff who see its clients"
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["workers"].queryset = User.objects.filter(is_staff=True, is_active=True)  # type: ignore[attr-defined]
        if self.instance.pk:
            self.fields["workers"].initial = get_users_with_perms(self.instance, only_with_perms_in=[self.permission()])

    def permission(self) -> str:
        """The object permission of working there."""
        return f"work_{self._meta.model._meta.model_name}"


class _PlaceAdmin(ModelAdmin):
    """Who works there is given through the service, so that it is recorded."""

    form = WorkersForm
    search_fields = ("name",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Emptied, not deleted: permissions hang on it."""
        return False

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Assign those who are new, take off those who are gone."""
        place = form.instance
        wanted = set(form.cleaned_data["workers"])
        known = set(get_users_with_perms(place, only_with_perms_in=[form.permission()]))
        for user in wanted - known:
            desk_assign(user=user, place=place)
        for user in known - wanted:
            desk_assign(user=user, place=place, working=False)
        if "accounts" in form.cleaned_data:
            group_accounts_set(group=place, accounts=list(form.cleaned_data["accounts"]))


@admin.register(Desk)
class DeskAdmin(_PlaceAdmin):
    """Desks."""

    list_display = ("name", "created_at")
    fields = ("name", "workers")


@admin.register(ClientGroup)
class ClientGroupAdmin(_PlaceAdmin):
    """Groups of clients."""

    list_display = ("name", "desk", "created_at")
    list_select_related = ("desk",)
    fields = ("name", "desk", "accounts", "workers")

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Client accounts only."""
        if db_field.name == "accounts":
            kwargs["queryset"] = TradingAccount.objects.filter(owner__isnull=False).order_by("core_account")
        return super().formfield_for_manytomany(db_field, request, **kwargs)


@admin.register(Approval)
class ApprovalAdmin(ReadOnlyAdmin):
    """Requests and decisions. They are decided on the desk, by two; nothing here goes around that."""

    list_display = ("id", "kind", "subject", "maker", "status", "checker", "created_at", "decided_at", "result")
    list_filter = ("status", "kind")
    search_fields = ("id", "subject", "maker__email", "checker__email")
    list_select_related = ("maker", "checker")


@admin.register(RoleGrant)
class RoleGrantAdmin(ReadOnlyAdmin):
    """Who has which role since when and from whom."""

    list_display = ("user", "role", "granted_by", "requested_by", "granted_at", "ended_at", "reason")
    list_filter = ("role",)
    search_fields = ("user__email",)
    list_select_related = ("user", "granted_by", "requested_by")


@admin.register(BreakGlass)
class BreakGlassAdmin(ReadOnlyAdmin):
    """Roles taken in an emergency."""

    list_display = ("user", "role", "started_at", "ends_at", "ended_at", "reason")
    list_filter = ("role",)
    search_fields = ("user__email",)
    list_select_related = ("user",)


@admin.register(ViewAs)
class ViewAsAdmin(ReadOnlyAdmin):
    """Looks as a client."""

    list_display = ("staff", "client", "started_at", "ends_at", "ended_at", "reason")
    search_fields = ("staff__email", "client__email")
    list_select_related = ("staff", "client")
