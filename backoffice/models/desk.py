"""Desks and the groups of clients they look after. Who works where are object permissions (django-guardian) on these rows."""

from __future__ import annotations

from django.db import models

from accounts.models import TradingAccount


class Desk(models.Model):
    """A desk; who has ``work_desk`` on it sees the clients of all its groups."""

    name = models.CharField(max_length=80, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name",)
        permissions = [("work_desk", "Sees the clients of this desk")]

    def __str__(self) -> str:
        return self.name


class ClientGroup(models.Model):
    """A group of accounts; who has ``work_clientgroup`` on it sees them."""

    name = models.CharField(max_length=80, unique=True)
    desk = models.ForeignKey(Desk, on_delete=models.PROTECT, related_name="client_groups")
    accounts = models.ManyToManyField(TradingAccount, related_name="client_groups", blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name",)
        permissions = [
            ("work_clientgroup", "Sees the clients of this group"),
            ("view_clients", "Opens the clients of the assigned groups"),
            ("view_all_clients", "Sees every client"),
        ]

    def __str__(self) -> str:
        return self.name
