"""What a slot finds in the store of its host, and what it writes there."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest
from tests.support.builders import hashed

from manyhands.wire.errors import DataLost
from manyhands.wire.host_store import HostStore
from manyhands.worker.slot_store import SlotStore

PREFIX = b"prefix 8"
FIRST, SECOND = PREFIX + bytes(8), PREFIX + bytes(7) + b"\1"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HostStore]:
    store = HostStore.join(b"cluster", folder=tmp_path / "memory", disk=tmp_path / "disk")
    yield store
    store.close()


@pytest.fixture
def slot(store: HostStore) -> SlotStore:
    slot = SlotStore("worker 'w'")
    slot.use(PREFIX, str(store.path))
    return slot


def test_new_data_have_ids_in_order(slot: SlotStore, store: HostStore) -> None:
    assert slot.put([b"one", b" datum"]) == FIRST
    assert slot.put([b"kept"], hashed("kept")) == hashed("kept")
    assert slot.put([b"another"]) == SECOND
    assert {id: bytes(store.map(id)) for id in store.ids()} == {
        FIRST: b"one datum",
        SECOND: b"another",
        hashed("kept"): b"kept",
    }


def test_a_copy_is_its_readers_own(slot: SlotStore, store: HostStore) -> None:
    store.put(FIRST, [bytes(1 << 20)])
    copy = slot.map(FIRST, copy_on_write=True)
    copy[0] = 1
    assert slot.map(FIRST, copy_on_write=True)[0] == slot.map(FIRST)[0] == 0
    assert slot.map(FIRST).readonly


def test_what_is_not_there_is_lost(slot: SlotStore) -> None:
    for each in (slot, SlotStore("worker 'w'")):
        with pytest.raises(DataLost, match="not in the store of worker 'w'"):
            each.map(FIRST)


def test_without_room_or_a_store_nothing_is_kept(
    slot: SlotStore, store: HostStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:

        def refuse(*_: object) -> None:
            raise OSError(errno.ENOSPC, "no room")

        patch.setattr("os.posix_fallocate", refuse)
        assert slot.put([b"too much"]) is None
    assert store.ids() == []
    assert slot.put([b"enough"]) == FIRST  # no number is left out
    slot.use(PREFIX, str(tmp_path / "gone"))
    assert slot.put([b"nowhere"]) is None


def test_what_an_item_has_read_stays_mapped_for_the_next_one_and_no_longer(slot: SlotStore, store: HostStore) -> None:
    for id in (FIRST, SECOND):
        store.put(id, [id * 65536])
    load = slot.forgetting(lambda ids: [slot.map(id).obj for id in ids])
    first, second = load([FIRST, SECOND])
    assert load([SECOND, FIRST]) == [second, first]
    store.drop(FIRST, SECOND)
    assert load([SECOND]) == [second]
    assert slot.keeps
    with pytest.raises(DataLost):
        slot.map(FIRST)
    slot.forget()
    assert not slot.keeps
    with pytest.raises(DataLost):
        slot.map(SECOND)


def test_few_stay_mapped_and_not_for_long(slot: SlotStore, store: HostStore, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [hashed(str(number)) for number in range(5)]
    for id in ids:
        store.put(id, [id * 65536])
    views = [slot.map(id).obj for id in ids]
    assert slot.map(ids[1]).obj is views[1]
    assert slot.map(ids[0]).obj is not views[0]
    with monkeypatch.context() as patch:
        now = monotonic()
        patch.setattr("manyhands.worker.slot_store.monotonic", lambda: now + 1.5)
        assert slot.map(ids[1]).obj is not views[1]
