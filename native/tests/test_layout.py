"""native/layout.py against core.h, as the compiler lays it out."""

from __future__ import annotations

import struct

import numpy
import pytest

from native import layout
from native.core import ffi, lib

COMMAND = ("core_command", layout.Command, layout.COMMAND_STRUCT, "COMMAND_DTYPE")
EVENT = ("core_event", layout.Event, layout.EVENT_STRUCT, "EVENT_DTYPE")


@pytest.mark.parametrize(("c_name", "names", "packer", "dtype"), [COMMAND, EVENT])
def test_every_field_lies_where_c_puts_it(c_name: str, names: type, packer: struct.Struct, dtype: str) -> None:
    fields = ffi.typeof(c_name).fields
    assert [name for name, _ in fields] == list(names._fields)  # type: ignore[attr-defined]
    assert ffi.sizeof(c_name) == packer.size
    numbers = getattr(layout, dtype)
    assert numbers.itemsize == packer.size
    for name, field in fields:
        assert numbers.fields[name][1] == field.offset, name
        assert numbers.fields[name][0].itemsize == ffi.sizeof(field.type), name
        one = ffi.new(f"{c_name} *")
        if name == "cl_ord_id":
            continue
        signed = numbers.fields[name][0].kind == "i"
        value = -2 if signed else 2 ** (8 * ffi.sizeof(field.type)) - 2
        setattr(one, name, value)
        assert getattr(names._make(packer.unpack(ffi.buffer(one)[:])), name) == value  # type: ignore[attr-defined]


@pytest.mark.parametrize("c_name", sorted(layout.C_ENUMS))
def test_every_enum_has_the_same_members(c_name: str) -> None:
    mirror, prefix = layout.C_ENUMS[c_name]
    in_c = ffi.typeof(f"enum {c_name}").relements
    assert {prefix + name: int(member) for name, member in mirror.__members__.items()} == in_c


def test_constants() -> None:
    assert lib.CORE_ABI_VERSION == layout.ABI_VERSION
    assert lib.CORE_SEMANTICS_VERSION == layout.SEMANTICS_VERSION
    assert lib.CORE_CL_ORD_ID_MAX == layout.CL_ORD_ID_MAX
    command = ffi.typeof("core_command")
    offsets = dict(command.fields)
    assert offsets["seq"].offset == layout.COMMAND_SEQ_OFFSET
    assert offsets["time_ns"].offset == layout.COMMAND_TIME_OFFSET
    assert offsets["correlation"].offset == layout.COMMAND_CORRELATION_OFFSET


def test_a_command_survives_packing() -> None:
    data = layout.pack_command(1, account=7, price=-3, qty=2**62, cl_ord_id="abc", correlation=2**64 - 1)
    command = layout.unpack_command(data)
    assert (command.type, command.account, command.price, command.qty, command.correlation) == (
        1,
        7,
        -3,
        2**62,
        2**64 - 1,
    )
    assert layout.cl_ord_id_text(command.cl_ord_id) == "abc"
    assert layout.command_to_bytes(command) == data
    stamped = bytearray(data * 2)
    layout.stamp_command(stamped, 128, 9, 11)
    assert [(c.seq, c.time_ns) for c in layout.iter_commands(stamped)] == [(0, 0), (9, 11)]
    row = numpy.frombuffer(data, layout.COMMAND_DTYPE)[0]
    assert (row["qty"], row["cl_ord_id"]) == (2**62, b"abc")


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(struct.error):
        layout.pack_command(1, account=2**32)
    with pytest.raises(struct.error):
        layout.pack_command(1, price=2**63)
    with pytest.raises(ValueError, match="longer"):
        layout.pack_command(1, cl_ord_id=b"x" * 41)


def test_instrument_data_survives_packing() -> None:
    data = layout.pack_instrument_data(maker_ppm=1, taker_ppm=2, margin_ppm=3, collar_ppm=4, min_qty=5, max_notional=6)
    assert len(data) == 40
    assert layout.unpack_instrument_data(data) == layout.InstrumentData(1, 2, 3, 4, 5, 6)
