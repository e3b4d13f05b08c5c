"""Each definition is sent once, few are forgotten, and what counts as sent is still there on the other side."""

from __future__ import annotations

from random import Random

from manyhands.wire.definitions import LoadedDefinitions
from manyhands.wire.told import Told


def test_what_was_sent_is_not_sent_again() -> None:
    told = Told()
    assert [told.add(hash) for hash in (b"a", b"b", b"a", b"b")] == [True, True, False, False]


def test_what_was_sent_is_not_remembered_without_end() -> None:
    told = Told(3)
    for number in range(10):
        assert told.add(b"%d" % number)
        assert len(told) <= 3
    assert not told.add(b"9")
    assert told.add(b"0")


def test_a_new_session_has_been_sent_nothing() -> None:
    told = Told()
    told.add(b"a")
    told.clear()
    assert told.add(b"a")


def test_a_client_has_what_it_was_told() -> None:
    """Old definitions and new ones, in any order: as a client meets them that reads many detached jobs, some again."""
    capacity, rng = 50, Random(3)
    told, loaded = Told(capacity), LoadedDefinitions(max_count=2 * capacity)
    hashes = [b"%d" % number for number in range(400)]
    for _ in range(5000):
        hash = rng.choice(hashes)
        if told.add(hash):
            loaded.add_blob(hash, b"blob")
        assert all(each in loaded for each in hashes if each in told)
