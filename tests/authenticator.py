"""What an authenticator app shows, for tests that hand the code to somebody else.

A code counts for its own thirty seconds only. One that is read at the end of them is refused when it arrives, as it is for people; a
test that looks at something else therefore waits for the next one.
"""

from __future__ import annotations

import base64
import time

from django_otp.oath import hotp

STEP_S = 30
#: A browser on a busy machine types and sends within this.
ROOM_S = 10.0


def step_with_room() -> int:
    """The step of this moment; waits for the next one when too little of this one is left."""
    left = STEP_S - time.time() % STEP_S
    if left < ROOM_S:
        time.sleep(left + 0.05)
    return int(time.time()) // STEP_S


def code_of(secret: str, step: int | None = None) -> str:
    """The six digits that belong to a secret, as people are shown it (base32, without padding), at a step or now."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    return f"{hotp(key, step_with_room() if step is None else step):06d}"
