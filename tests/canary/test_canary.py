"""Secrets of a client's whole life on the platform lie nowhere in the clear: database, Valkey, journal, snapshots, vault, logs, answers, queues."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from tests.canary.client_life import Life
from tests.canary.search import Search
from tests.live_platform import LivePlatform

OWN_SECRETS = {"SECRET_KEY": f"canary-{secrets.token_hex(24)}", "KYC_SECRET": f"canary-{secrets.token_hex(24)}"}
#: Where mails lie (the demo's mailbox), with their links; and the files of keys themselves.
MAILED = {"confirmation link", "recovery link"}


@pytest.fixture(scope="module")
def platform() -> Iterator[LivePlatform]:
    with LivePlatform(demo_rate=20, more={"DEBUG": "0", **OWN_SECRETS}) as platform:
        yield platform


@pytest.fixture(scope="module")
def life(platform: LivePlatform) -> Life:
    life = Life(platform)
    life.live()
    life.spare()
    with psycopg.connect(platform.servers.database_url, autocommit=True) as database:
        life.faults(database)
        # What was done reaches the audit trail, the outbox and the vendor before anything is searched.
        until = time.monotonic() + 60
        while database.execute("SELECT count(*) FROM platform_auditpending").fetchone() != (0,):
            assert time.monotonic() < until
            time.sleep(0.2)
    return life


@pytest.fixture(scope="module")
def all_secrets(platform: LivePlatform, life: Life) -> dict[str, bytes | str]:
    ring = json.loads((platform.var / "keys" / "keyring.json").read_text())
    keys = {f"key-encryption key {name}": text for name, text in ring["keys"].items()}
    raw = {f"{name}, raw": base64.b64decode(text) for name, text in (keys | {"index key": ring["index"]}).items()}
    return life.secrets | OWN_SECRETS | keys | raw | {"index key": ring["index"]}


def everything(platform: LivePlatform, life: Life, search: Search) -> None:
    search.database(platform.servers.database_url)
    search.valkey(platform.servers.redis_url)
    for folder in ("journal", "vault", "log", "audit", "run"):
        search.files(platform.var / folder, folder)
    search.look((platform.var / "launch.log").read_bytes(), "log:launch.log")
    search.files(platform.servers.valkey.folder, "log")
    for what, body in life.pages:
        search.look(body, f"answer:{what}")


@pytest.mark.slow
def test_no_secret_is_found_anywhere(platform: LivePlatform, life: Life, all_secrets: dict[str, bytes | str]) -> None:
    search = Search(all_secrets)
    everything(platform, life, search)
    print(f"\n{len(all_secrets)} secrets, bytes searched: {search.looked}")
    assert search.looked.keys() >= {"database", "valkey", "journal", "vault", "log", "answer", "audit"}
    assert all(search.looked[kind] > 0 for kind in search.looked)
    assert sorted(search.found) == []


@pytest.mark.slow
def test_mails_hold_their_links_and_nothing_else(
    platform: LivePlatform, life: Life, all_secrets: dict[str, bytes | str]
) -> None:
    search = Search(all_secrets)
    search.files(platform.var / "mail", "mail")
    assert {name for name, _ in search.found} == MAILED


@pytest.mark.slow
def test_what_is_planted_in_the_clear_is_found(
    platform: LivePlatform, life: Life, all_secrets: dict[str, bytes | str]
) -> None:
    """One secret in each place, each in another dress: a search that finds nothing must be able to find."""
    plant = {f"planted {n}": f"pl4nted-{secrets.token_hex(8)}" for n in range(6)}
    plain = [plant[f"planted {n}"] for n in range(6)]
    with psycopg.connect(platform.servers.database_url, autocommit=True) as database:
        database.execute("CREATE TABLE planted (text text, raw bytea)")
        encoded = base64.urlsafe_b64encode(f"ab{plain[1]}cd".encode()).decode()
        database.execute("INSERT INTO planted VALUES (%s, %s)", [encoded, plain[0].encode("utf-16-le")])
    valkey = redis.Redis.from_url(platform.servers.redis_url)
    valkey.rpush("planted", plain[2].encode().hex())
    (platform.var / "log" / "planted.log").write_text(f"x={plain[3]}\n")
    (platform.var / "journal" / "planted").write_bytes(b"\0\1\2" + plain[4].encode() + b"\0" * 50)
    life.pages.append(("planted", json.dumps({"detail": plain[5]}).encode()))
    try:
        search = Search(all_secrets | plant)
        everything(platform, life, search)
    finally:
        with psycopg.connect(platform.servers.database_url, autocommit=True) as database:
            database.execute("DROP TABLE planted")
        valkey.delete("planted")
        (platform.var / "log" / "planted.log").unlink()
        (platform.var / "journal" / "planted").unlink()
        life.pages.pop()
    assert {name for name, _ in search.found} == set(plant)
    assert {place.partition(":")[0] for _, place in search.found} == {"database", "valkey", "log", "journal", "answer"}


@pytest.mark.parametrize("secret", ["p4ss-wörd-ünïcode!", b"\x00\xff\x10binary\xfe" * 3])
def test_every_dress_is_seen_through(secret: str | bytes) -> None:
    raw = secret if isinstance(secret, bytes) else secret.encode()
    texts = [
        b"a" * skip + part
        for skip in range(3)
        for part in (raw, raw.hex().encode(), raw.hex().upper().encode(), base64.b32encode(raw).rstrip(b"="))
    ]
    import zlib

    texts += [base64.b64encode(b"z" * skip + raw + b"yyy") for skip in range(3)]
    texts.append(b"." + base64.urlsafe_b64encode(zlib.compress(b"before " * 20 + raw + b" after")).rstrip(b"=") + b":x")
    for text in texts:
        search = Search({"it": secret})
        search.look(b"before \n" + text + b"\n after", "place")
        assert search.found == {("it", "place")}, text
    nothing = Search({"it": secret})
    nothing.look(Path(__file__).read_bytes()[:2000], "place")
    assert nothing.found == set()
