"""Lists of sanctioned parties, version by version, and what screening found against them."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from compliance.models.kyc import KycCase


class SanctionsList(models.Model):
    """One version of one list. Exactly one per source is active; a new one replaces it in one transaction."""

    source = models.CharField(max_length=20)
    digest = models.CharField(max_length=64, help_text="SHA-256 over the files")
    entries = models.PositiveIntegerField(default=0)
    active = models.BooleanField(default=False)
    made_up = models.BooleanField(default=False, help_text="Generated names for the demo, not a real list")
    added = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    removed = models.PositiveIntegerField(default=0)
    load_ms = models.PositiveIntegerField(default=0)
    loaded_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-id",)
        constraints = [
            models.UniqueConstraint(fields=("source",), condition=models.Q(active=True), name="one_active_list")
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.digest[:8]}"


def _nothing() -> list[str]:
    """An empty list: inside the class below ``list`` is a column."""
    return []


class ListedParty(models.Model):
    """A party on a version of a list."""

    list = models.ForeignKey(SanctionsList, on_delete=models.CASCADE, related_name="parties")
    ent_num = models.IntegerField()
    kind = models.CharField(max_length=12)
    programs = models.CharField(max_length=300, blank=True, default="")
    births = models.JSONField(default=_nothing, help_text="ISO dates or years as far as known")
    countries = models.JSONField(default=_nothing, help_text="Country names as printed")
    remarks = models.TextField(blank=True, default="")
    digest = models.CharField(max_length=64, help_text="Of everything known: equal means unchanged")

    class Meta:
        constraints = [models.UniqueConstraint(fields=("list", "ent_num"), name="one_party_per_version")]

    def __str__(self) -> str:
        return str(self.ent_num)


class ListedName(models.Model):
    """A name of a listed party: the primary one, an alias, or a weak alias."""

    party = models.ForeignKey(ListedParty, on_delete=models.CASCADE, related_name="names")
    name = models.CharField(max_length=350)
    weak = models.BooleanField(default=False)
    primary = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.name


class ScreeningHit(models.Model):
    """A possible match of a client with a listed party, with the reasons, until an officer says which it is."""

    class State(models.TextChoices):
        OPEN = "open", "Open"
        FALSE_POSITIVE = "false_positive", "Not the same"
        TRUE_MATCH = "true_match", "The same"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    case = models.ForeignKey(KycCase, on_delete=models.CASCADE, related_name="hits")
    subject = models.CharField(
        max_length=160, blank=True, default="", help_text="Which of an entity's names; empty for a person's own"
    )
    source = models.CharField(max_length=20)
    ent_num = models.IntegerField()
    listed_name = models.CharField(max_length=350)
    score = models.PositiveSmallIntegerField(help_text="0 to 100")
    explanation = models.JSONField(default=list)
    party_digest = models.CharField(max_length=64)
    state = models.CharField(max_length=16, choices=State.choices, default=State.OPEN)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    reason = models.CharField(max_length=500, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-score", "ent_num")
        constraints = [
            models.UniqueConstraint(
                fields=("case", "subject", "source", "ent_num", "party_digest"), name="one_hit_per_party"
            )
        ]

    def __str__(self) -> str:
        return f"{self.ent_num} {self.score}"


class GoodGuy(models.Model):
    """An officer found that a client is not this party, as the list described it then; ends by itself."""

    case = models.ForeignKey(KycCase, on_delete=models.CASCADE, related_name="good_guys")
    subject = models.CharField(max_length=160, blank=True, default="")
    source = models.CharField(max_length=20)
    ent_num = models.IntegerField()
    party_digest = models.CharField(max_length=64)
    expires_at = models.DateTimeField()
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=500)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=("case", "subject", "source", "ent_num", "party_digest"), name="one_good_guy"
            )
        ]

    def __str__(self) -> str:
        return f"{self.case_id} is not {self.ent_num}"
