"""The tree of owners: effective shares, who is beneficial, what is still to be named; shares are exact."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.identity import DetailError
from compliance.ownership import Node, node_clean, ownership_of, without


def person(name: str, share: str, parent: str = "", **more: Any) -> dict[str, Any]:
    first, last = name.split()
    return {
        "kind": "person", "parent": parent, "share": share, "first_name": first, "last_name": last, "birth_date": "1970-01-01",
        "nationality": "GB",
    } | more  # fmt: skip


def company(name: str, share: str, parent: str = "") -> dict[str, Any]:
    return {"kind": "company", "parent": parent, "share": share, "name": name, "country": "GB"}


def tree(*rows: dict[str, Any]) -> list[Node]:
    nodes: list[Node] = []
    for number, row in enumerate(rows, 1):
        nodes.append(node_clean(row, nodes, nodes_max=30, depth_max=5, number=number))
    return nodes


def test_an_indirect_owner_is_found_through_companies() -> None:
    nodes = tree(
        company("Holding", "60"),
        person("Ann Ash", "50", "n1"),
        company("Trust", "50", "n1"),
        person("Bob Birch", "40", "n3"),
        person("Ann Ash", "40", controls=True),
        person("Cara Cedar", "60", "n3"),
    )
    found = ownership_of(nodes, owner_from=25)
    shares = {owner.name: (owner.share, owner.direct, owner.beneficial) for owner in found.owners}
    # 60 % × 50 % and 40 % directly; 60 % × 50 % × 40 %; 60 % × 50 % × 60 %.
    assert shares == {
        "Ann Ash": (Decimal(70), Decimal(40), True),
        "Bob Birch": (Decimal(12), Decimal(0), False),
        "Cara Cedar": (Decimal(18), Decimal(0), False),
    }
    assert (found.unknown, found.layers, found.missing) == (Decimal(0), 2, ())
    assert [(line.name, line.depth) for line in found.lines][:3] == [("Holding", 0), ("Ann Ash", 1), ("Trust", 1)]


def test_exactly_a_quarter_counts_and_less_does_not() -> None:
    found = ownership_of(tree(person("Ann Ash", "25"), person("Bob Birch", "24.9999")), owner_from=25)
    assert [owner.beneficial for owner in found.owners] == [True, False]


def test_what_is_missing_is_named() -> None:
    found = ownership_of(tree(company("Shell", "80"), person("Bob Birch", "60", "n1")), owner_from=25)
    assert found.missing == ("the owners of Shell", "at least one person who controls the company")
    assert ownership_of([], owner_from=25).missing[0] == "who owns the other 100 %"
    small = tree(*(person(f"P{n} Q", "10") for n in range(8)), person("Mia Manager", "0", controls=True))
    assert ownership_of(small, owner_from=25).missing == ()
    assert [owner.name for owner in ownership_of(small, owner_from=25).owners if owner.beneficial] == ["Mia Manager"]


@pytest.mark.parametrize(
    ("row", "field"),
    [
        (person("A B", "41"), "share"),
        (person("A B", "-1"), "share"),
        (person("A B", "NaN"), "share"),
        (person("A B", "1.00001"), "share"),
        (person("A B", "0"), "share"),
        (person("A B", "1", "n2"), "parent"),
        (person("A B", "1", "n9"), "parent"),
        (person("A B", "1", birth_date=""), "birth_date"),
        (company("", "1"), "name"),
        ({"kind": "ghost"}, "kind"),
    ],
)
def test_a_node_that_does_not_fit_is_refused_with_its_field(row: dict[str, Any], field: str) -> None:
    nodes = tree(company("Holding", "50"), person("Ann Ash", "10"))
    with pytest.raises(DetailError) as error:
        node_clean(row, nodes, nodes_max=30, depth_max=5, number=3)
    assert error.value.field == field


def test_depth_and_number_are_bounded_and_a_branch_is_taken_out_whole() -> None:
    nodes = tree(*(company(f"C{n}", "100", f"n{n}" if n else "") for n in range(5)))
    with pytest.raises(DetailError):
        node_clean(person("A B", "1", "n5"), nodes, nodes_max=30, depth_max=5, number=6)
    with pytest.raises(DetailError):
        node_clean(person("A B", "1"), nodes, nodes_max=5, depth_max=5, number=6)
    assert [node["id"] for node in without(nodes, "n2")] == ["n1"]


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(1, 400_000), st.booleans()), max_size=12))
def test_shares_are_exact_and_never_more_than_the_whole(rows: list[tuple[int, int, bool]]) -> None:
    nodes: list[Node] = []
    for number, (above, share, is_person) in enumerate(rows, 1):
        parent = f"n{above}" if any(node["id"] == f"n{above}" and node["kind"] == "company" for node in nodes) else ""
        text = str(Decimal(share).scaleb(-4))
        row = person(f"P{number} Q", text, parent) if is_person else company(f"C{number}", text, parent)
        try:
            nodes.append(node_clean(row, nodes, nodes_max=30, depth_max=5, number=number))
        except DetailError:
            continue
    found = ownership_of(nodes, owner_from=25)
    assert sum((owner.share for owner in found.owners), Decimal(0)) + found.unknown == 100
    assert 0 <= found.unknown <= 100
    assert len(found.lines) == len(nodes)
