"""The table is whole: every number of the core, sane HTTP and FIX numbers, the generated page is current."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from brokerage.kernel import rejects
from brokerage.kernel.rejects import CORE_CODES, TABLE, RejectCode, reject_row
from native import layout

ROOT = Path(__file__).resolve().parents[3]


def test_the_cores_numbers_in_the_header_are_in_the_table_and_no_others_are_claimed_for_it() -> None:
    header = (ROOT / "native/include/core.h").read_text()
    body = re.search(r"enum core_reject \{(.*?)\};", header, re.DOTALL)
    assert body is not None
    numbers = {name: int(value) for name, value in re.findall(r"REJ_(\w+) = (\d+)", body.group(1)) if int(value)}
    assert len(numbers) > 30
    assert {code.name: code.value for code in CORE_CODES} == numbers


def test_layout_and_table_agree() -> None:
    assert {code.value for code in layout.Reject if code} == {code.value for code in CORE_CODES}


@pytest.mark.parametrize("code", list(RejectCode), ids=lambda code: code.slug)
def test_every_row_tells_what_why_and_what_next(code: RejectCode) -> None:
    row = TABLE[code]
    assert row.code is code
    assert row.slug == code.name.lower()
    assert row.title
    assert row.rule
    assert row.text.endswith(".")
    assert row.next_step.endswith(".")
    # The status family of each band (ARCHITECTURE: when things go wrong).
    allowed = {
        1: {400, 404, 405, 406, 409, 413, 415, 422},
        2: {401, 403, 404, 429}, 3: {422}, 4: {422}, 5: {404, 409, 422},
        7: {401, 403, 409, 413, 422, 451}, 8: {422},
        9: {500, 503, 504},
    }  # fmt: skip
    assert row.http in allowed[code // 1000]
    assert row.ord_rej_reason in {1, 2, 3, 4, 5, 6, 11, 13, 15, 16, 18, 19, 20, 25, 99}
    assert row.cxl_rej_reason in {0, 1, 2, 3, 6, 8, 18, 99}
    assert row.business_reject_reason in range(9)
    assert set(re.findall(r"{(\w+)}", row.numbers)) <= {"needed", "available"}
    assert "{" not in row.detail("1", "2")


def test_numbers_are_shown_only_when_known() -> None:
    row = TABLE[RejectCode.INSUFFICIENT_FUNDS]
    assert row.detail() == row.text == row.detail(needed="1")
    assert row.detail("10.00 USD", "2.50 USD") == f"{row.text} Needed 10.00 USD, available 2.50 USD."


def test_an_unknown_number_is_a_fault_not_a_crash() -> None:
    assert reject_row(4242).code is RejectCode.INTERNAL_ERROR
    assert reject_row(4001).code is RejectCode.INSUFFICIENT_FUNDS


def test_what_can_be_tried_again_says_when() -> None:
    assert rejects.retry_after_s(9010) == 2
    assert rejects.retry_after_s(2013) == 1
    assert rejects.retry_after_s(4001) is None


def test_the_page_is_current() -> None:
    assert (ROOT / "docs/rejects.md").read_text() == rejects.as_markdown()
