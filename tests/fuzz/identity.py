"""Loaded by schemathesis (``SCHEMATHESIS_HOOKS``): each request goes out as one of the identities of a file, in turn.

``FUZZ_IDENTITIES`` names the file: ``people`` is a list of ``{"name", "headers"}`` or ``{"name", "key_id", "secret"}`` (a key signs what is really
sent); ``known`` gives values that exist by the name of the parameter, so that half of the requests come further than "no such account".
"""

from __future__ import annotations

import itertools
import json
import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import schemathesis

from brokerage.platform.signing import canonical_string, signature_of

_GIVEN = json.loads(Path(os.environ["FUZZ_IDENTITIES"]).read_text())
PEOPLE: list[dict[str, Any]] = _GIVEN["people"]
KNOWN: dict[str, list[str]] = _GIVEN["known"]


class InTurn(requests.auth.AuthBase):
    """The next identity's headers on the prepared request."""

    def __init__(self) -> None:
        self.turns = itertools.cycle(PEOPLE)
        self.numbers = itertools.count(1)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        one = next(self.turns)
        request.headers.update(one.get("headers", {}))
        if "key_id" in one:
            body = request.body or b""
            raw = body.encode() if isinstance(body, str) else bytes(body)
            stamp, nonce = str(time.time_ns() // 1_000_000), f"{os.getpid():08}{next(self.numbers):012}"
            parts = urlsplit(request.url or "")
            said = canonical_string(request.method or "", parts.path, parts.query, stamp, nonce, raw)
            request.headers.update(
                {
                    "X-Api-Key": one["key_id"],
                    "X-Api-Timestamp": stamp,
                    "X-Api-Nonce": nonce,
                    "X-Api-Signature": signature_of(one["secret"].encode(), said),
                }
            )
        return request


schemathesis.auth.set_from_requests(InTurn())


def _with_known(values: Any) -> Any:
    if not isinstance(values, dict):
        return values
    # What is generated decides, so that a seed gives the same requests again.
    return {
        name: KNOWN[name][len(repr(value)) // 2 % len(KNOWN[name])] if name in KNOWN and len(repr(value)) % 2 else value
        for name, value in values.items()
    }


@schemathesis.hook
def map_query(context: schemathesis.HookContext, query: Any) -> Any:
    """Half of the parameters name something that exists."""
    return _with_known(query)


@schemathesis.hook
def map_path_parameters(context: schemathesis.HookContext, path_parameters: Any) -> Any:
    """As in the query."""
    return _with_known(path_parameters)


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    """As in the query."""
    return _with_known(body)
