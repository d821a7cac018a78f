"""Fields: what they take, what they refuse and with which number."""

from decimal import Decimal
from typing import Any

import pytest

from brokerage.kernel.terms import Side
from brokerage.platform.api_fields import (
    ClientOrderIdField,
    DecimalText,
    StrictBoolean,
    StrictSerializer,
    StrictText,
    TermField,
    TimeField,
    WholeNumber,
    WordField,
)
from brokerage.platform.problems import ApiProblem


class Sample(StrictSerializer):
    """All kinds of fields."""

    price = DecimalText(required=False)
    side = TermField(Side, required=False)
    word = WordField(("a", "b"), required=False)
    moment = TimeField(required=False)
    text = StrictText(required=False, max_length=3)
    switch = StrictBoolean(required=False)
    key = ClientOrderIdField(required=False)
    number = WholeNumber(required=False, low=1, high=5)
    from_ = StrictText(required=False)


def check(data: dict[str, Any]) -> dict[str, Any]:
    return Sample.check(data)


@pytest.mark.parametrize(
    ("name", "given", "wanted"),
    [
        ("price", "1.10", Decimal("1.10")),
        ("price", 7, Decimal(7)),
        ("price", Decimal("0.1"), Decimal("0.1")),
        ("side", "sell", Side.SELL),
        ("word", "b", "b"),
        ("moment", "1970-01-01T00:00:01Z", 1_000_000_000),
        ("text", "abc", "abc"),
        ("switch", True, True),
        ("key", "x" * 36, "x" * 36),
        ("number", 5, 5),
        ("number", "1", 1),
        ("from", "x", "x"),
    ],
)
def test_good_values_pass(name: str, given: Any, wanted: Any) -> None:
    assert check({name: given}) == {name: wanted}


@pytest.mark.parametrize(
    ("name", "given", "code"),
    [
        ("price", 1.5, 1012),
        ("price", True, 1012),
        ("price", "NaN", 1012),
        ("price", "1e3", 1012),
        ("price", " 1", 1012),
        ("price", "1_000", 1012),
        ("price", "٣", 1012),
        ("price", "", 1012),
        ("price", [], 1012),
        ("price", None, 1016),
        ("price", 10**30, 1014),
        ("price", "1" + "0" * 30, 1014),
        ("price", Decimal("1E+30"), 1014),
        ("side", "hold", 1001),
        ("side", 1, 1001),
        ("side", ["buy"], 1001),
        ("word", "c", 1001),
        ("word", {}, 1001),
        ("moment", "yesterday", 1001),
        ("moment", "2026-01-01T00:00:00", 1001),
        ("moment", 5, 1001),
        ("moment", "1960-01-01T00:00:00Z", 1014),
        ("text", "abcd", 1014),
        ("text", 5, 1001),
        ("text", "", 1016),
        ("switch", "true", 1001),
        ("switch", 1, 1001),
        ("key", "", 1001),
        ("key", "x" * 37, 1001),
        ("key", "a b", 1001),
        ("key", "é", 1001),
        ("number", 0, 1014),
        ("number", 6, 1014),
        ("number", "9" * 20, 1014),
        ("number", "9" * 21, 1012),
        ("number", "x", 1012),
        ("number", True, 1012),
        ("number", Decimal("1.0"), 1012),
        ("surprise", 1, 1010),
        ("from_", "x", 1010),
    ],
)
def test_bad_values_are_refused_by_number(name: str, given: Any, code: int) -> None:
    with pytest.raises(ApiProblem) as refused:
        check({name: given})
    assert refused.value.code == code
    assert refused.value.field == name


def test_every_bad_field_is_listed() -> None:
    with pytest.raises(ApiProblem) as refused:
        check({"price": "x", "side": "x", "extra": 1})
    assert [(error["field"], error["code"]) for error in refused.value.errors] == [
        ("extra", 1010),
        ("price", 1012),
        ("side", 1001),
    ]
