"""Definitions at the master: those somebody holds, and recent ones within a limit that counts what small ones cost."""

import gc
from hashlib import blake2b

import pytest

from manyhands.master.definitions import OVERHEAD_BYTES, DefinitionStore
from manyhands.wire.blocks import HASH_BYTES


def named(number: int) -> tuple[bytes, bytes]:
    blob = b"definition %d" % number
    return blake2b(blob, digest_size=HASH_BYTES).digest(), blob


def test_small_definitions_count_with_what_they_cost() -> None:
    store = DefinitionStore(limit_bytes=10 * OVERHEAD_BYTES)
    hashes = [store.add(*named(number)).hash for number in range(100)]
    gc.collect()
    assert [store.is_held(hash) for hash in hashes] == [False] * 91 + [True] * 9


def test_what_is_held_or_used_stays() -> None:
    store = DefinitionStore(limit_bytes=3 * OVERHEAD_BYTES)
    held = store.add(*named(0))
    used, _ = named(1)
    store.add(*named(1))
    for number in range(2, 100):
        store.add(*named(number))
        assert store.get(used) is not None
    assert store.get(held.hash) is held


def test_a_blob_under_a_hash_that_is_not_its_own_is_refused() -> None:
    store = DefinitionStore(limit_bytes=1000)
    with pytest.raises(ValueError, match="not what that hash names"):
        store.add(b"?" * HASH_BYTES, b"blob")


def test_what_nobody_holds_goes_with_the_last_client_that_sent_it() -> None:
    store = DefinitionStore(limit_bytes=100 * OVERHEAD_BYTES)
    held = store.add(*named(0), sender=1)
    alone, shared, restored = (store.add(*named(number), sender=1).hash for number in (1, 2, 3))
    store.add(*named(2), sender=2)
    nobodys = store.add(*named(4)).hash
    gc.collect()
    store.left(1)
    assert [store.is_held(each) for each in (held.hash, alone, shared, restored, nobodys)] == [
        True,
        False,
        True,
        False,
        True,
    ]
    store.left(2)
    assert not store.is_held(shared)
    store.left(3)
    assert store.is_held(nobodys)


def test_who_sent_what_was_pushed_out_is_forgotten() -> None:
    store = DefinitionStore(limit_bytes=3 * OVERHEAD_BYTES)
    for number in range(10):
        store.add(*named(number), sender=1)
    store.left(1)
    assert not any(store.is_held(named(number)[0]) for number in range(10))
    store.add(*named(0), sender=2)
    store.left(1)
    assert store.is_held(named(0)[0])
