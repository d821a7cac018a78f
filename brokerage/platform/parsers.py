"""The parser of request bodies: exact numbers, unique names, storable text.

A module of its own because REST framework's views read the settings that name it. Leaves fields to ``api_fields.py``.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from rest_framework.parsers import BaseParser

from brokerage.kernel.rejects import RejectCode
from brokerage.platform.problems import ApiProblem

#: No request of this API is near it; a larger body is refused unread.
BODY_MAX = 65_536
DEPTH_MAX = 8
#: Digits of a whole number in JSON; longer ones are text or nonsense, and converting them costs quadratic time.
DIGITS_MAX = 48


def _whole(text: str) -> int:
    if len(text) > DIGITS_MAX:
        raise ApiProblem(RejectCode.VALUE_OUT_OF_RANGE, "A number in the body has too many digits.")
    return int(text)


def _exact(text: str) -> Decimal:
    # Through the literal's own text: no binary float ever exists.
    if len(text) > DIGITS_MAX:
        raise ApiProblem(RejectCode.VALUE_OUT_OF_RANGE, "A number in the body has too many digits.")
    return Decimal(text)


def _constant(text: str) -> None:
    raise ApiProblem(RejectCode.NOT_A_NUMBER, f"{text} is not a number.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ApiProblem(RejectCode.MALFORMED_JSON, "A name occurs twice in an object.")
    return result


def text_is_clean(text: str) -> bool:
    """False for text that PostgreSQL or UTF-8 cannot carry: NUL or half of a surrogate pair."""
    return "\x00" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def _check(value: Any, depth: int = 0) -> None:
    if depth > DEPTH_MAX:
        raise ApiProblem(RejectCode.MALFORMED_JSON, "The body is nested too deeply.")
    if isinstance(value, str):
        if (not value.isascii() and not text_is_clean(value)) or "\x00" in value:
            raise ApiProblem(RejectCode.MALFORMED_JSON, "A text has a character that cannot be stored.")
    elif isinstance(value, dict):
        for name, part in value.items():
            _check(name, depth + 1)
            _check(part, depth + 1)
    elif isinstance(value, list):
        for part in value:
            _check(part, depth + 1)


def parse_json(raw: bytes) -> Any:
    """JSON with exact numbers, unique names and storable text; ApiProblem for anything else."""
    try:
        value = json.loads(
            raw.decode("utf-8"),
            parse_float=_exact,
            parse_int=_whole,
            parse_constant=_constant,
            object_pairs_hook=_unique,
        )
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        if isinstance(error, ApiProblem):
            raise
        raise ApiProblem(RejectCode.MALFORMED_JSON) from error
    _check(value)
    return value


class ExactJSONParser(BaseParser):
    """JSON objects only, at most BODY_MAX bytes, numbers as int or Decimal."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> dict[str, Any]:
        """Read and check the body."""
        raw = stream.read(BODY_MAX + 1)
        if len(raw) > BODY_MAX:
            raise ApiProblem(RejectCode.PAYLOAD_TOO_LARGE, needed=str(BODY_MAX))
        value = parse_json(raw)
        if not isinstance(value, dict):
            raise ApiProblem(RejectCode.MALFORMED_JSON, "The body must be a JSON object.")
        return value
