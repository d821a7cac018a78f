"""What `Core.apply` takes and gives back: any buffer of whole commands, a view of the events."""

from __future__ import annotations

import pytest

from native.core import Core
from native.tests.test_core import SMALL, stream_of


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_commands_may_be_any_buffer_and_give_what_bytes_give(kind: type) -> None:
    commands, config = stream_of("messy", 5, 600)
    with Core(config) as one, Core(config) as other:
        for at in range(0, 600, 20):
            joined = b"".join(commands[at : at + 20])
            assert bytes(one.apply(joined)) == bytes(other.apply(kind(joined)))
        assert one.digest() == other.digest()


def test_the_events_of_one_command_and_of_many_are_the_same_whatever_view_carries_them() -> None:
    commands, config = stream_of("messy", 6, 600)
    with Core(config) as one, Core(config) as other:
        told = b"".join(bytes(one.apply(command)) for command in commands)
        assert told == bytes(other.apply(b"".join(commands)))


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_no_commands_give_no_events_and_half_a_command_is_refused(kind: type) -> None:
    with Core(SMALL) as core:
        assert bytes(core.apply(kind())) == b""
        with pytest.raises(ValueError, match="whole number"):
            core.apply(kind(bytes(200)))
