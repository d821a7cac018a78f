"""Keys of sessions are in the cookie alone; the store works as Django's does, in database and cache, and with asynchronous code."""

from __future__ import annotations

import pickle
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.utils import timezone

from brokerage.platform.session_store import JsonSerializer, SessionStore
from brokerage.platform.valkey import get_valkey

pytestmark = pytest.mark.django_db(transaction=True)


def stored(**values: object) -> SessionStore:
    store = SessionStore()
    store.update(values)
    store.save()
    return store


def test_neither_database_nor_valkey_knows_the_key() -> None:
    key = stored(word="x").session_key
    assert key is not None
    assert SessionStore(key)["word"] == "x"
    assert key not in Session.objects.get().session_key
    names = [name.decode() if isinstance(name, bytes) else name for name in get_valkey().scan_iter("*")]
    assert any("cached_db" in name for name in names), "it is in the cache"
    assert not any(key in name for name in names)


@pytest.mark.parametrize("cached", [True, False])
def test_what_stands_in_the_tables_opens_nothing(cached: bool) -> None:
    stored(word="x")
    if not cached:
        cache.clear()
    thief = SessionStore(Session.objects.get().session_key)
    assert "word" not in thief
    assert not SessionStore().exists(Session.objects.get().session_key)


def test_it_is_read_from_the_database_when_the_cache_is_empty() -> None:
    key = stored(word="x").session_key
    cache.clear()
    assert SessionStore(key)["word"] == "x"
    assert SessionStore().exists(key or "")


def test_a_new_key_ends_the_old_one() -> None:
    store = stored(word="x")
    old = store.session_key
    store.cycle_key()
    assert store.session_key != old
    assert "word" not in SessionStore(old)
    assert Session.objects.count() == 1
    store.flush()
    assert not Session.objects.exists()
    assert store.session_key is None


def test_a_session_that_ran_out_is_gone() -> None:
    key = stored(word="x").session_key
    cache.clear()
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    gone = SessionStore(key)
    assert "word" not in gone


def test_asynchronous_code_sees_the_same() -> None:
    key = stored(word="x").session_key or ""

    async def look() -> tuple[object, bool]:
        store = SessionStore(key)
        found = await store.aget("word")
        await store.aset("more", 1)
        await store.asave()
        await store.adelete()
        return found, await SessionStore().aexists(key)

    assert async_to_sync(look)() == ("x", False)
    assert not Session.objects.exists()


def test_the_cache_runs_nothing_it_reads() -> None:
    ran: list[int] = []

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[int]]:
            return ran.append, (1,)

    cache.set("plain", {"a": [1, "x", None]})
    assert cache.get("plain") == {"a": [1, "x", None]}
    cache.set("count", 1)
    assert cache.incr("count") == 2
    with pytest.raises(ValueError, match=r"Expecting|utf|invalid|decode"):
        JsonSerializer().loads(pickle.dumps(Bomb()))
    assert ran == []
