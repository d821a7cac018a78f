"""What the PDF documents of compliance say: the file of a case, a record of the audit trail with its proof, what a search of it found.

Owns their content. Leaves letters and pages to ``brokerage/platform/pdf.py``, permission and the record of the download to the views.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model

from brokerage.platform.pdf import Document, Facts, Section, Table, Text
from compliance.models import AuditCheckpoint, AuditEntry, KycCase
from compliance.selectors import audit
from compliance.selectors.audit_proof import entry_checks, proofs_for
from compliance.selectors.cases import CaseFile, case_file

#: Acts of one case that its file lists, the newest.
ACTS_MAX = 100
NOTHING = "–"
CHECKED_BY = "The page of a record gives its proof as a file, and the page Proof the program that checks it without us."


def _when(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if moment else NOTHING


def _word(code: str) -> str:
    return code.replace("_", " ") or NOTHING


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_said(item) for item in value) or NOTHING
    return NOTHING if value is None or value == "" else str(value)


def _names(ids: Iterable[str]) -> dict[str, str]:
    """E-mail addresses of people by their ids; what is nobody's id is left out."""
    keys = set()
    for text in ids:
        try:
            keys.add(UUID(text))
        except ValueError:
            continue
    return {str(pk): email for pk, email in get_user_model().objects.filter(pk__in=keys).values_list("pk", "email")}


# ---- a case -----------------------------------------------------------------------------------------------------------


def case_paper(case: KycCase, *, made_for: str, made_at: datetime) -> Document:
    """The file of a case: everything its page shows but the pictures, who decided and why, and where the audit trail holds it."""
    file = case_file(case)
    return Document(
        f"KYC file: {case.title}",
        f"Case {case.pk}, {case.get_state_display()}",
        made_for,
        made_at,
        [
            Section("Case", [Facts(_case_rows(case))]),
            *_answers(file),
            *_owners(file),
            Section("Checks of the last submission", [_checks(file)]),
            Section("Screening", _hits(file)),
            Section("Risk", _risk(case)),
            Section("Documents", [_documents(file), Text("Their pictures are not part of this file.", soft=True)]),
            *_decisions(file),
            Section("Audit trail", _acts(case)),
        ],
    )


def _case_rows(case: KycCase) -> list[tuple[str, str]]:
    rows = [("Account", f"{case.account.number}, {case.account.name}")] if case.account else []
    return [
        *rows,
        ("Opened by" if case.account else "Client", f"{case.person.display_name or NOTHING}, {case.person.email}"),
        ("State", f"{case.get_state_display()} ({_word(case.reason_code)})"),
        ("Tier", f"{case.tier}, sought {case.tier_sought}"),
        ("Jurisdiction", case.jurisdiction or NOTHING),
        ("Rules", case.policy_version or NOTHING),
        ("Submissions", str(case.check_round)),
        ("Submitted", _when(case.submitted_at)),
        ("Decided", _when(case.decided_at)),
        ("Review due", _when(case.review_due_at)),
        ("Asked of the client", "; ".join(str(row.get("text", "")) for row in case.actions) or NOTHING),
    ]


def _answers(file: CaseFile) -> list[Section]:
    return [
        Section(
            f"Client's answers: {title}",
            [Facts([(_word(name).capitalize(), _said(value)) for name, value in answer.items()])],
        )
        for title, answer in file.answers
    ]


def _owners(file: CaseFile) -> list[Section]:
    if file.tree is None:
        return []
    lines = Table(
        ("Name", "Kind", "Share", "Of the entity", "Controls"),
        [
            ("› " * line.depth + line.name, line.kind, f"{line.share:f} %", f"{line.effective.normalize():f} %", _said(line.controls))
            for line in file.tree.lines
        ],
        (40, 15, 15, 15, 15),
        frozenset({2, 3}),
    )  # fmt: skip
    people = Table(
        ("Beneficial owner", "Born", "Nationality", "Share", "Controls"),
        [
            (owner.name, owner.birth_date, owner.nationality, f"{owner.share.normalize():f} %", _said(owner.controls))
            for owner in file.tree.owners
            if owner.beneficial
        ],
        (40, 15, 15, 15, 15),
        frozenset({3}),
    )
    missing = [Text(f"Not complete: {'; '.join(file.tree.missing)}.")] if file.tree.missing else []
    return [Section("Owners and control", [lines, people, *missing])]


def _checks(file: CaseFile) -> Table:
    rows = [
        (_word(row.name), row.provider, row.get_outcome_display(), "; ".join(map(str, row.reasons)), _when(row.occurred_at))
        for row in file.checks
    ]  # fmt: skip
    rows += [("liveness", "", row.get_state_display(), row.reason, _when(row.occurred_at)) for row in file.liveness]
    return Table(
        ("Check", "Vendor", "Result", "Reasons", "Time (UTC)"), rows, (20, 14, 18, 28, 20), nothing="None yet."
    )


def _hits(file: CaseFile) -> list[Text | Facts | Table]:
    blocks: list[Text | Facts | Table] = []
    for hit in file.hits:
        why = [
            str(row["note"])
            if row.get("note")
            else f"{row.get('query') or NOTHING} / {row.get('listed') or NOTHING}: {row.get('how', '')}"
            + (f" ({row['score']})" if row.get("score") else "")
            for row in hit.explanation
        ]
        blocks.append(
            Facts(
                [
                    ("Listed party", hit.listed_name),
                    ("List", f"{hit.source}, entry {hit.ent_num}, found {_when(hit.created_at)}"),
                    ("Screened name", hit.subject or "the client's own"),
                    ("Score", f"{hit.score} of 100"),
                    ("Why", "\n".join(why) or NOTHING),
                    ("Decided", f"{hit.get_state_display()}{f', by {hit.decided_by.email}' if hit.decided_by else ''}"),
                    ("Reason", hit.reason or NOTHING),
                ]
            )
        )
    return blocks or [Text("No hits.", soft=True)]


def _risk(case: KycCase) -> list[Text | Facts | Table]:
    score = NOTHING if case.risk_score is None else f"{case.risk_score} of 100, {case.get_risk_band_display().lower()}"
    parts = [
        (str(row["name"]), f"{row['points']} / {row['of']}", str(row["reason"]))
        for row in case.risk_parts
    ]  # fmt: skip
    return [
        Facts([("Score", score)]),
        Table(("Part", "Points", "Reason"), parts, (20, 15, 65), nothing="Not scored yet."),
    ]


def _documents(file: CaseFile) -> Table:
    rows = [
        (row.get_kind_display(), row.get_state_display(), _when(row.created_at), str(row.expires_on or row.issued_on or NOTHING), row.digest)
        for row in file.documents
    ]  # fmt: skip
    return Table(
        ("Document", "State", "Received (UTC)", "Until / dated", "SHA-256 as kept"), rows, (20, 14, 19, 13, 34)
    )


def _decisions(file: CaseFile) -> list[Section]:
    names = _names(row.actor_id for row in file.transitions)
    steps = [
        (
            _when(row.at),
            f"{_word(row.from_state)} to {_word(row.to_state)}",
            names.get(row.actor_id, row.actor_id) or row.actor_type,
            f"{_word(row.reason_code)}{f': {row.note}' if row.note else ''}",
        )
        for row in file.transitions
    ]
    proposals = [
        (
            _when(row.created_at),
            f"{_word(row.decision)}: {row.get_state_display().lower()}",
            f"{row.maker.email}{f', {row.checker.email}' if row.checker else ''}",
            f"{_word(row.reason_code)}: {row.note}",
        )
        for row in file.proposals
    ]
    widths = (20, 24, 26, 30)
    return [
        Section("Steps", [Table(("Time (UTC)", "Step", "By", "Reason"), steps, widths, nothing="Nothing yet.")]),
        Section(
            "Decisions that take two people",
            [Table(("Time (UTC)", "Decision", "Proposed by, decided by", "Reason"), proposals, widths)],
        ),
    ]


def _acts(case: KycCase) -> list[Text | Facts | Table]:
    """The newest acts on the case with their places, the signed root they lead to, and the way there for the newest that is signed."""
    rows = list(audit.entries_for(object_type="kyc_case", object_id=str(case.pk)).defer("payload")[:ACTS_MAX])
    point = AuditCheckpoint.objects.order_by("-size").first()
    signed = next((row for row in rows if point is not None and row.seq <= point.size), None)
    return [
        _entries(rows),
        Text(f"The newest {ACTS_MAX} acts on this case at most. {CHECKED_BY}", soft=True),
        *([] if point is None else [_checkpoint(point)]),
        *([] if point is None or signed is None else [_proof(signed, point)]),
    ]


# ---- the audit trail --------------------------------------------------------------------------------------------------


def _entries(rows: list[AuditEntry]) -> Table:
    names = audit.actor_names(rows)
    return Table(
        ("No.", "Time (UTC)", "Actor", "Action", "Object", "Entry hash, first 32 digits"),
        [
            (
                str(row.seq),
                _when(row.ts),
                f"{row.actor_type} {names.get(row.actor_id, row.actor_id)}"
                + (f" as {names.get(row.on_behalf_of, row.on_behalf_of)}" if row.on_behalf_of else ""),
                row.action,
                f"{_word(row.object_type)} {row.object_id}",
                bytes(row.entry_hash).hex()[:32],
            )
            for row in rows
        ],
        (8, 13, 22, 19, 22, 20),
        frozenset({0}),
        "None in the trail yet: it follows within a second.",
    )


def _checkpoint(point: AuditCheckpoint) -> Facts:
    return Facts(
        [
            ("Checkpoint", f"tree of {point.size} entries, signed {_when(point.ts)} UTC"),
            ("Root", bytes(point.root).hex()),
            ("Signed note", point.note),
        ]
    )


def _proof(entry: AuditEntry, point: AuditCheckpoint) -> Facts:
    found = next(proofs_for([entry], point.size))
    return Facts(
        [
            ("Proof of record", f"{entry.seq}: leaf {entry.seq - 1} of the tree of {point.size}"),
            ("Record", found["canonical"]),
            ("Hash before", found["prev_hash"]),
            ("Entry hash", found["entry_hash"]),
            ("Way to the root", "\n".join(found["path"]) or "it is the root"),
        ]
    )


def trail_paper(
    rows: list[AuditEntry], *, filters: dict[str, str], most: int, made_for: str, made_at: datetime
) -> Document:
    """What a search of the trail found, its newest ``most`` records at most, and the checkpoint they are proved against."""
    point = audit.checkpoint_latest()
    asked = [(_word(name).capitalize(), value) for name, value in filters.items()]
    cut = f"The newest {most} at most: the CSV file has more." if len(rows) == most else "All of them."
    return Document(
        "Audit trail",
        f"{len(rows)} records, the newest first",
        made_for,
        made_at,
        [
            Section("Searched for", [Facts(asked or [("Everything", "no filter")]), Text(cut, soft=True)]),
            Section("Records", [_entries(rows)]),
            Section("Checkpoint", [_checkpoint(point), Text(CHECKED_BY, soft=True)]),
        ],
    )


def record_paper(entry: AuditEntry, *, made_for: str, made_at: datetime) -> Document:
    """One record of the trail: what it changed, what its hashes come to, its proof."""
    around = {
        row.seq: row for row in AuditEntry.objects.filter(seq__in=(entry.seq - 1, entry.seq + 1)).defer("payload")
    }
    detail = audit.entry_detail(entry)
    point = AuditCheckpoint.objects.order_by("-size").first()
    changes = [
        (row["field"], _said(row["before"]), _said(row["after"]))
        for row in audit.changes_of(detail["before"], detail["after"])
    ]
    state = {"erased": "Erased with the person's key.", "unreadable": "It cannot be opened."}
    checks = [
        (check.title, "waits" if check.holds is None else "holds" if check.holds else "FAILS", check.detail)
        for check in entry_checks(entry, around.get(entry.seq - 1), around.get(entry.seq + 1))
    ]
    names = audit.actor_names([entry])
    facts = [
        ("Time (UTC)", detail["time"]),
        ("Actor", f"{entry.actor_type} {names.get(entry.actor_id, '')} {entry.actor_id}"),
        ("Looking as", entry.on_behalf_of or NOTHING),
        ("Object", f"{_word(entry.object_type)} {entry.object_id}"),
        ("About", entry.subject or NOTHING),
        ("Reason", detail["reason"] or NOTHING),
        ("Address", detail["ip"] or NOTHING),
        ("Request", entry.request_id or NOTHING),
    ]
    return Document(
        f"Audit record {entry.seq}",
        entry.action,
        made_for,
        made_at,
        [
            Section("Record", [Facts(facts)]),
            Section(
                "What it changed",
                [
                    Table(
                        ("Field", "Before", "After"),
                        changes,
                        (26, 37, 37),
                        nothing=state.get(detail["state"], "No values."),
                    )
                ],
            ),
            Section("Checked when this was made", [Table(("Check", "Result", "Detail"), checks, (22, 12, 66))]),
            *([] if point is None else [Section("Checkpoint", [_checkpoint(point)])]),
            *([] if point is None or entry.seq > point.size else [Section("Proof", [_proof(entry, point)])]),
            Section("How to check it", [Text(CHECKED_BY)]),
        ],
    )
