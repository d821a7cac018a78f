"""Base of the admin's pages: projections and evidence can be looked at and exported, never changed there.

Owns read-only permissions, the fence around the clients of a desk and the CSV action. Leaves columns and formatting to each app's ``admin.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from unfold.admin import ModelAdmin

from brokerage.platform.reporting import csv_response

EXPORT_MAX = 100_000
#: Says which core accounts a member of staff may see (None: all); given by the back office when it is loaded.
AccountScope = Callable[[Any], "QuerySet[Any] | None"]
_scopes: list[AccountScope] = []


def account_scope_set(scope: AccountScope) -> None:
    """Fence the lists of rows that belong to accounts."""
    _scopes[:] = [scope]


class ReadOnlyAdmin(ModelAdmin):
    """A list and a detail page without add, change or delete; the shown columns can be taken as CSV."""

    actions = ("export_csv",)
    #: Path from a row to its core account; rows with one are fenced to the accounts the reader may see.
    account_path = ""
    list_per_page = 50
    show_full_result_count = False
    list_filter_submit = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Rows of the accounts this member of staff may see."""
        rows = super().get_queryset(request)
        scope = _scopes[0](request.user) if self.account_path and _scopes else None
        return rows if scope is None else rows.filter(**{f"{self.account_path}__in": scope})

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody adds rows here."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes rows here."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes rows here."""
        return False

    @admin.action(description="Download the chosen rows as CSV", permissions=["view"])
    def export_csv(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponseBase:
        """Stream the list's columns of the chosen rows, at most EXPORT_MAX."""
        names = [str(name) for name in self.list_display]

        def rows() -> Iterator[list[str]]:
            for row in queryset[:EXPORT_MAX].iterator(chunk_size=2000):
                yield [self._cell(name, row) for name in names]

        return csv_response(f"{self.model._meta.model_name}.csv", names, rows())

    def _cell(self, name: str, row: Any) -> str:
        column = getattr(self, name, None)
        value = column(row) if callable(column) else getattr(row, f"get_{name}_display", lambda: getattr(row, name))()
        return "" if value is None else str(value)
