"""The tree is as drawn."""

from __future__ import annotations

from brokerage.kernel import errors
from brokerage.kernel.rejects import RejectCode


def test_every_class_hangs_under_the_root_and_is_drawn() -> None:
    assert errors.__doc__ is not None
    for name, value in vars(errors).items():
        if isinstance(value, type):
            assert issubclass(value, errors.BrokerageError), name
            assert name in errors.__doc__, name


def test_refusals_carry_a_number_of_the_table() -> None:
    raised = [
        errors.NotANumberError("x"),
        errors.TooManyDecimalsError("x", needed="1", available="2"),
        errors.OutOfRangeError("x", needed="1", available="2"),
        errors.OffIncrementError(3011, "x"),
        errors.IdentifierError("x"),
        errors.RejectedError(RejectCode.NOT_FOUND),
    ]
    assert [RejectCode(error.code) for error in raised] == [1012, 1011, 1014, 3011, 1001, 2014]
    assert str(raised[-1]) == "refused with code 2014"


def test_damage_names_its_place() -> None:
    assert errors.JournalDamagedError(7, "bad CRC").sequence == 7
    assert "record 3" in str(errors.ChainBrokenError(3))
