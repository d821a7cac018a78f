"""Lists into the database, and clients against lists: versions, deltas, hits, the good-guy list.

A load writes the whole new version beside the old, then swaps in one transaction; who changed is rescreened. The index of names is built once per
version and process. Owns hits and their decisions. Leaves reading files to ``aml/lists.py`` and scoring to ``aml/screening.py``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from accounts.forms import country_choices
from brokerage.kernel.clock import SYSTEM_CLOCK, utc_now
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import RejectCode
from brokerage.platform.audit import record
from brokerage.platform.jobs import enqueue
from compliance.aml.lists import Party, folder_read
from compliance.aml.screening import Hit, Listed, NameIndex
from compliance.models import GoodGuy, KycCase, ListedName, ListedParty, SanctionsList, ScreeningHit
from compliance.ownership import name_of
from compliance.policy import policy
from compliance.selectors.checklist import answer_of
from compliance.services.kyc import SYSTEM, State, case_lock, case_move
from compliance.services.risk import case_score

SOURCE = "sdn"
GOOD_GUY_DAYS = 365
#: Serialises loads (a transaction-scoped advisory lock of PostgreSQL).
LOAD_LOCK = 0x53_44_4E_31
_lock = threading.Lock()
_index: dict[int, NameIndex] = {}


@dataclass(frozen=True)
class Loaded:
    """What a load did."""

    version: int
    entries: int
    added: tuple[int, ...]
    changed: tuple[int, ...]
    removed: tuple[int, ...]
    fresh: bool


def list_load(*, folder: Path, source: str = SOURCE, made_up: bool = False) -> Loaded:
    """Read a folder of official files and make it the active version; the same files again change nothing."""
    begun = SYSTEM_CLOCK.monotonic_ns()
    parties, digest = folder_read(folder)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOAD_LOCK])
        old = SanctionsList.objects.filter(source=source, active=True).first()
        if old is not None and old.digest == digest:
            return Loaded(old.pk, old.entries, (), (), (), False)
        before = dict(old.parties.values_list("ent_num", "digest")) if old else {}
        version = SanctionsList.objects.create(source=source, digest=digest, entries=len(parties), made_up=made_up)
        now = _parties_write(version, parties)
        added = tuple(sorted(set(now) - set(before)))
        removed = tuple(sorted(set(before) - set(now)))
        changed = tuple(sorted(number for number in set(now) & set(before) if now[number] != before[number]))
        SanctionsList.objects.filter(source=source, active=True).update(active=False)
        version.active = True
        version.added, version.changed, version.removed = len(added), len(changed), len(removed)
        version.load_ms = (SYSTEM_CLOCK.monotonic_ns() - begun) // 1_000_000
        version.save()
        # One older version is kept, so that a load can be looked at against what was before.
        kept = list(SanctionsList.objects.filter(source=source).values_list("pk", flat=True)[:2])
        SanctionsList.objects.filter(source=source).exclude(pk__in=kept).delete()
        record(
            "sanctions_list.loaded",
            object_type="sanctions_list",
            object_id=version.pk,
            after={
                "digest": digest,
                "entries": len(parties),
                "added": len(added),
                "changed": len(changed),
                "removed": len(removed),
            },
        )
        if old is not None and (added or changed):
            enqueue("compliance.tasks.rescreen_delta", ent_nums=[*added, *changed][:20_000])
    return Loaded(version.pk, len(parties), added, changed, removed, True)


def _parties_write(version: SanctionsList, parties: Iterable[Party]) -> dict[int, str]:
    rows = [
        ListedParty(
            list=version,
            ent_num=party.ent_num,
            kind=party.kind[:12],
            programs=party.programs,
            births=party.births,
            countries=party.countries,
            remarks=party.remarks[:4000],
            digest=party.digest(),
        )
        for party in parties
    ]
    made = ListedParty.objects.bulk_create(rows, batch_size=2_000)
    names = [
        ListedName(party=row, name=name[:350], weak=weak, primary=place == 0)
        for row, party in zip(made, parties, strict=True)
        for place, (name, weak) in enumerate(dict(party.names).items())
    ]
    ListedName.objects.bulk_create(names, batch_size=5_000)
    return {row.ent_num: row.digest for row in made}


def index_get(source: str = SOURCE) -> NameIndex | None:
    """The names of the active version; None when no list is loaded."""
    version = SanctionsList.objects.filter(source=source, active=True).values_list("pk", flat=True).first()
    if version is None:
        return None
    with _lock:
        found = _index.get(version)
        if found is None:
            rows = ListedName.objects.filter(party__list_id=version).values_list(
                "party__ent_num", "name", "weak", "party__births", "party__countries"
            )
            found = NameIndex(
                Listed(number, name, weak, tuple(births), tuple(lands)) for number, name, weak, births, lands in rows
            )
            _index.clear()
            _index[version] = found
    return found


def index_forget() -> None:
    """Drop the index: between tests."""
    with _lock:
        _index.clear()


def name_screen(name: str, *, birth: str = "", country: str = "") -> list[Hit]:
    """Hits of a name against the active list at the policy's threshold."""
    index = index_get()
    return (
        index.screen(name, threshold=policy().body["screening_threshold"] / 100, birth=birth, country=country)
        if index
        else []
    )


def _names_of(case: KycCase) -> list[tuple[str, str, str, str]]:
    """(subject, name, birth date, country code) of everybody to be screened in a case; the person's own has no subject."""
    if not case.account_id:
        identity = answer_of(case, "identity")
        if not identity:
            return []
        name = f"{identity['first_name']} {identity['last_name']}"
        return [("", name, identity["birth_date"], identity["nationality"])]
    company, tree = answer_of(case, "company"), answer_of(case, "owners").get("nodes", [])
    found = [(company["legal_name"], company["legal_name"], "", company["country"])] if company else []
    for node in tree:
        name = name_of(node)
        found.append((name, name, node.get("birth_date", ""), node.get("nationality") or node.get("country", "")))
    return list(dict.fromkeys(found))


def case_screen(case: KycCase, only: set[int] | None = None) -> int:
    """Screen everybody of a case; new hits are stored with their reasons, those on the good-guy list are not. Safe to repeat."""
    return sum(_screen_one(case, *row, only) for row in _names_of(case))


def _screen_one(case: KycCase, subject: str, name: str, birth: str, country: str, only: set[int] | None) -> int:
    subject = subject[:160]
    hits = name_screen(name, birth=birth, country=dict(country_choices()).get(country, ""))
    if only is not None:
        hits = [hit for hit in hits if hit.listed.key in only]
    parties = dict(
        ListedParty.objects.filter(
            list__source=SOURCE, list__active=True, ent_num__in=[hit.listed.key for hit in hits]
        ).values_list("ent_num", "digest")
    )
    good = set(
        GoodGuy.objects.filter(case=case, subject=subject, source=SOURCE, expires_at__gt=utc_now()).values_list(
            "ent_num", "party_digest"
        )
    )
    made = 0
    for hit in hits[:50]:
        number, digest = hit.listed.key, parties[hit.listed.key]
        if (number, digest) in good:
            continue
        explanation = [asdict(pair) for pair in hit.pairs] + [{"note": note} for note in hit.notes]
        _, new = ScreeningHit.objects.get_or_create(
            case=case,
            subject=subject,
            source=SOURCE,
            ent_num=number,
            party_digest=digest,
            defaults={"listed_name": hit.listed.name, "score": round(hit.score * 100), "explanation": explanation},
        )
        made += new
    return made


def clients_rescreen(ent_nums: list[int]) -> int:
    """Screen every client against what changed on the list; approved ones with a new hit go to an officer."""
    wanted, moved = set(ent_nums), 0
    states = (State.APPROVED, State.PERIODIC_REVIEW, State.EDD, State.CHECKING, State.REVIEW, State.MORE_INFO)
    for case_id in KycCase.objects.filter(state__in=states).values_list("pk", flat=True).iterator(chunk_size=500):
        with transaction.atomic():
            case = case_lock(case_id)
            found = case_screen(case, wanted)
            if found:
                case_score(case)
            if found and case.state == State.APPROVED:
                case_move(case, State.REVIEW, reason_code="screening_hit", actor=SYSTEM)
                moved += 1
    return moved


def hit_decide(*, hit_id: Any, officer: Any, same: bool, reason: str) -> ScreeningHit:
    """Say whether a hit is the client. "Not the same" puts the client on the good-guy list for that party as it is described now."""
    if len(reason.strip()) < 5:
        raise RejectedError(
            RejectCode.MISSING_FIELD, "Give a reason in your own words.", needed="a reason", field="reason"
        )
    with transaction.atomic():
        hit = ScreeningHit.objects.select_for_update().filter(pk=hit_id).first()
        if hit is None:
            raise RejectedError(RejectCode.NOT_FOUND)
        if hit.state != ScreeningHit.State.OPEN:
            raise RejectedError(RejectCode.KYC_STATE, needed="open", available=hit.state)
        case = case_lock(hit.case_id)
        if case.person.pk == officer.pk:
            raise RejectedError(RejectCode.SECOND_REVIEWER, "Nobody decides their own case.")
        hit.state = ScreeningHit.State.TRUE_MATCH if same else ScreeningHit.State.FALSE_POSITIVE
        hit.decided_by, hit.reason = officer, reason[:500]
        hit.save()
        case_score(case)
        if not same:
            GoodGuy.objects.update_or_create(
                case=case,
                subject=hit.subject,
                source=hit.source,
                ent_num=hit.ent_num,
                party_digest=hit.party_digest,
                defaults={
                    "expires_at": utc_now() + timedelta(days=GOOD_GUY_DAYS),
                    "created_by": officer,
                    "reason": reason[:500],
                },
            )
        record(
            "screening_hit.decided",
            object_type="screening_hit",
            object_id=hit.pk,
            after={"state": hit.state, "ent_num": hit.ent_num},
            reason=reason[:200],
        )
    return hit
