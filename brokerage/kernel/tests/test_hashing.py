"""Canonical bytes and hash chains."""

from __future__ import annotations

import hashlib
from decimal import Decimal

import pytest

from brokerage.kernel import hashing
from brokerage.kernel.errors import ChainBrokenError


def test_one_value_has_one_form_whatever_the_order_of_its_keys() -> None:
    assert hashing.canonical_bytes({"b": [1, None], "a": Decimal("1.50")}) == b'{"a":{"$decimal":"1.5"},"b":[1,null]}'
    assert hashing.canonical_bytes({"a": Decimal("1.5"), "b": (1, None)}) == hashing.canonical_bytes(
        {"b": [1, None], "a": Decimal("1.500")}
    )
    assert hashing.canonical_bytes({"ü": b"\x00\xff", "t": True}) == '{"t":true,"ü":{"$bytes":"00ff"}}'.encode()


def test_types_cannot_pass_for_each_other() -> None:
    values: list[hashing.Canonical] = [1, "1", Decimal(1), b"1", True, [1]]
    assert len({hashing.canonical_bytes(value) for value in values}) == 6
    with pytest.raises(TypeError):
        hashing.canonical_bytes({"$decimal": "1"})


@pytest.mark.parametrize("bad", [1.0, {1: 2}, object(), {"a": float("nan")}, {1, 2}])
def test_floats_and_strange_things_are_refused(bad: object) -> None:
    with pytest.raises(TypeError):
        hashing.canonical_bytes(bad)  # type: ignore[arg-type]


def test_deep_nesting_is_refused() -> None:
    value: list[object] = []
    for _ in range(100):
        value = [value]
    with pytest.raises(ValueError, match="deep"):
        hashing.canonical_bytes(value)  # type: ignore[arg-type]


def test_the_chain_rule_is_the_documented_one() -> None:
    assert (
        hashing.chain_next(hashing.GENESIS, b"abc") == hashlib.sha256(bytes(32) + b"\x03" + bytes(7) + b"abc").digest()
    )
    assert hashing.chain_of([b"a", b"b"]) == hashing.chain_next(hashing.chain_next(hashing.GENESIS, b"a"), b"b")
    assert hashing.chain_of([b"ab"]) != hashing.chain_of([b"a", b"b"])
    with pytest.raises(ValueError, match="32"):
        hashing.chain_next(b"", b"a")


def test_the_first_record_that_does_not_fit_is_named() -> None:
    records = [b"a", b"b", b"c"]
    heads = [hashing.chain_of(records[: count + 1]) for count in range(3)]
    assert hashing.chain_verify(zip(records, heads, strict=True)) == heads[-1]
    with pytest.raises(ChainBrokenError) as caught:
        hashing.chain_verify(zip([b"a", b"B", b"c"], heads, strict=True))
    assert caught.value.index == 1
    assert hashing.sha256_hex(b"") == hashing.sha256(b"").hex()
