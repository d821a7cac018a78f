"""Who owns and controls an entity: the tree of shares, effective shares along its branches, beneficial owners. Pure.

A node is a person or a company with a share of the node above it (``parent`` empty: of the entity itself). A person on several branches is one
person (same name and birth date). Leaves storing to ``services/answers.py`` and screening to ``services/sanctions.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from compliance.identity import DetailError

HUNDRED = Decimal(100)
Node = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Owner:
    """A person behind an entity. ``share`` is the effective share in per cent over all branches, ``direct`` the part held directly."""

    name: str
    birth_date: str
    nationality: str
    share: Decimal
    direct: Decimal
    controls: bool
    beneficial: bool


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the tree as it is shown: ``depth`` from 0, ``share`` of the node above, ``effective`` of the entity."""

    id: str
    depth: int
    kind: str
    name: str
    share: Decimal
    effective: Decimal
    controls: bool
    beneficial: bool


@dataclass(frozen=True, slots=True)
class Ownership:
    """What a tree says. ``missing`` is empty when it is complete; ``unknown`` is the share nobody stands behind."""

    lines: tuple[Line, ...]
    owners: tuple[Owner, ...]
    unknown: Decimal
    layers: int
    missing: tuple[str, ...]


def name_of(node: Node) -> str:
    """A node's name as screened and shown."""
    if node["kind"] == "company":
        return str(node["name"])
    return f"{node['first_name']} {node['last_name']}".strip()


def node_clean(data: dict[str, Any], nodes: Sequence[Node], *, nodes_max: int, depth_max: int, number: int) -> Node:
    """A new node checked against the tree it joins; DetailError names the field."""
    kind, parent = str(data.get("kind", "")), str(data.get("parent", ""))
    if kind not in {"person", "company"}:
        raise DetailError("kind", "Say whether it is a person or a company.")
    if len(nodes) >= nodes_max:
        raise DetailError("kind", f"At most {nodes_max} owners; describe a larger structure in the register of owners.")
    above = {node["id"]: node for node in nodes}
    if parent and above.get(parent, {}).get("kind") != "company":
        raise DetailError("parent", "Only a company has owners.")
    depth, at = 1, parent
    while at:
        depth, at = depth + 1, above[at]["parent"]
    if depth > depth_max:
        raise DetailError("parent", f"At most {depth_max} levels.")
    try:
        share = Decimal(str(data.get("share") or "0").strip())
    except InvalidOperation:
        raise DetailError("share", "A number of per cent, with a decimal point.") from None
    exponent = share.as_tuple().exponent
    if not share.is_finite() or not 0 <= share <= HUNDRED or not isinstance(exponent, int) or exponent < -4:
        raise DetailError("share", "From 0 to 100 per cent, at most four decimals.")
    taken = sum((Decimal(node["share"]) for node in nodes if node["parent"] == parent), Decimal(0))
    if taken + share > HUNDRED:
        raise DetailError("share", f"Only {HUNDRED - taken} % of it is left.")
    names = ("name", "country") if kind == "company" else ("first_name", "last_name", "birth_date", "nationality")
    node: Node = {"id": f"n{number}", "parent": parent, "kind": kind, "share": str(share)}
    for name in names:
        value = str(data.get(name) or "").strip()
        if not value:
            raise DetailError(name, "This is needed.")
        node[name] = value[:120]
    node["controls"] = kind == "person" and bool(data.get("controls"))
    if share == 0 and not node["controls"]:
        raise DetailError("share", "Who owns nothing is named only when they control the company.")
    return node


def without(nodes: Sequence[Node], node_id: str) -> list[Node]:
    """The tree without a node and all below it."""
    gone = {node_id}
    for _ in nodes:
        gone |= {node["id"] for node in nodes if node["parent"] in gone}
    return [node for node in nodes if node["id"] not in gone]


def ownership_of(nodes: Sequence[Node], *, owner_from: int) -> Ownership:
    """Work the tree out. ``owner_from``: per cent from which an owner is beneficial."""
    effective: dict[str, Decimal] = {"": HUNDRED}
    order: list[tuple[Node, int]] = []

    def walk(parent: str, depth: int) -> None:
        for node in nodes:
            if node["parent"] == parent:
                effective[node["id"]] = effective[parent] * Decimal(node["share"]) / HUNDRED
                order.append((node, depth))
                walk(node["id"], depth + 1)

    walk("", 0)
    people: dict[tuple[str, str], list[Node]] = {}
    for node, _ in order:
        if node["kind"] == "person":
            people.setdefault((name_of(node).casefold(), node["birth_date"]), []).append(node)
    owners = []
    for (_, born), mine in people.items():
        share = sum((effective[node["id"]] for node in mine), Decimal(0))
        direct = sum((effective[node["id"]] for node in mine if not node["parent"]), Decimal(0))
        controls = any(node["controls"] for node in mine)
        owners.append(
            Owner(
                name_of(mine[0]), born, mine[0]["nationality"], share, direct, controls, share >= owner_from or controls
            )
        )
    beneficial = {(owner.name.casefold(), owner.birth_date) for owner in owners if owner.beneficial}
    lines = tuple(
        Line(
            node["id"], depth, node["kind"], name_of(node), Decimal(node["share"]), effective[node["id"]], node["controls"],
            node["kind"] == "person" and (name_of(node).casefold(), node["birth_date"]) in beneficial,
        )
        for node, depth in order
    )  # fmt: skip
    known = sum((owner.share for owner in owners), Decimal(0))
    missing = []
    for node, _ in order:
        below = sum((Decimal(row["share"]) for row in nodes if row["parent"] == node["id"]), Decimal(0))
        # Behind what is left of a company there may be somebody with as much as makes an owner beneficial.
        if node["kind"] == "company" and effective[node["id"]] * (HUNDRED - below) / HUNDRED >= owner_from:
            missing.append(f"the owners of {name_of(node)}")
    top = sum((Decimal(node["share"]) for node in nodes if not node["parent"]), Decimal(0))
    if HUNDRED - top >= owner_from:
        missing.append(f"who owns the other {HUNDRED - top} %")
    if not any(owner.controls for owner in owners):
        missing.append("at least one person who controls the company")
    layers = max((depth for node, depth in order if node["kind"] == "company"), default=-1) + 1
    return Ownership(lines, tuple(owners), HUNDRED - known, layers, tuple(missing))
