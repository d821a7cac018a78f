"""Password hashing: Argon2id with parameters calibrated for a login of about 30 ms on this class of machine.

OWASP's minimum (19 MiB, t=2, p=1) is the floor; the library's default costs eight times as much CPU and would let a login storm starve trading.
"""

from django.contrib.auth.hashers import Argon2PasswordHasher


class CalibratedArgon2PasswordHasher(Argon2PasswordHasher):
    """Argon2id, 19 MiB, two passes, one lane; older hashes are upgraded at the next sign-in."""

    time_cost = 2
    memory_cost = 19_456
    parallelism = 1
