"""The host store: what is put is found by all, mapped, sliced, kept within a limit, and dropped."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from manyhands.wire import store_files, store_free, store_room
from manyhands.wire.host_store import DataMissing, HostStore

CLUSTER = bytes(range(16))
A, B, C = (bytes([each]) * 16 for each in b"abc")
PAGE = resource.getpagesize()
MAPPED = 1 << 20  # large enough to be mapped


def join(folder: Path, limit_bytes: int = 1 << 30, **options: Any) -> HostStore:
    return HostStore.join(CLUSTER, folder=folder / "shm", disk=folder / "disk", limit_bytes=limit_bytes, **options)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HostStore]:
    joined = join(tmp_path)
    yield joined
    joined.check_invariants()
    joined.close()


def in_memory(store: HostStore) -> set[bytes]:
    """Which data are in memory rather than on disk."""
    return {id for id in store.ids() if (store.path / id.hex()).exists()}


def used_before(store: HostStore, id: bytes, seconds: float) -> None:
    path = store.path / id.hex()
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def test_what_one_puts_the_others_find(store: HostStore, tmp_path: Path) -> None:
    data = os.urandom(MAPPED)
    store.put(A, [data[:1000], data[1000:]])
    other, slot = join(tmp_path), HostStore.at(store.path)
    for each in (store, other, slot):
        assert A in each
        assert each.ids() == [A]
        assert each.size(A) == len(data)
        assert each.map(A) == data
        assert each.identity == store.identity
    other.close()
    assert A in store


def test_mapped_data_are_one_copy_and_read_only(store: HostStore) -> None:
    store.put(A, [bytes(MAPPED)])
    view = store.map(A)
    assert view.readonly
    assert view.obj.__class__.__name__ == "mmap"
    private = store.map(A, copy_on_write=True)
    private[0] = 1
    assert view[0] == store.map(A)[0] == 0
    small = store.map(A, 5, 10, copy_on_write=True)
    small[0] = 1
    assert store.map(A, 5, 10)[0] == 0


@pytest.mark.parametrize("offset", [0, 1, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE + 7])
@pytest.mark.parametrize("length", [0, 1, PAGE, 200_000, None])
def test_ranges_need_no_alignment(store: HostStore, offset: int, length: int | None) -> None:
    data = os.urandom(300_000)
    store.put(A, [data])
    expected = data[offset:] if length is None else data[offset : offset + length]
    assert store.map(A, offset, length) == expected
    assert store.read(A, offset, length) == expected


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, 11), (11, None), (5, -1), (8, 3)])
def test_ranges_beyond_the_end_are_refused(store: HostStore, offset: int, length: int | None) -> None:
    store.put(A, [b"0123456789"])
    with pytest.raises(ValueError, match="do not lie in the 10 of datum 6161"):
        store.map(A, offset, length)


def test_what_is_not_there_is_missing(store: HostStore) -> None:
    assert A not in store
    assert not store.has(A, 0, 1)
    for use in (store.size, store.map, store.read, store.persist):
        with pytest.raises(DataMissing, match=A.hex()):
            use(A)
    store.drop(A, B)


def test_a_writer_s_file_is_seen_when_it_is_complete(store: HostStore) -> None:
    with store.writer(A, 10) as writer:
        writer.write(5, b"56789")
        assert A not in store
        writer.write(0, b"01234")
        writer.commit()
    assert store.map(A) == b"0123456789"
    writer.abandon()  # too late
    assert A in store
    with store.writer(B, 10) as writer:
        writer.write(0, b"01234")
    assert B not in store
    assert not store_files.find_unfinished(store.path)


@pytest.mark.parametrize(("offset", "data"), [(-1, b"x"), (10, b"x"), (8, b"xxx")])
def test_a_writer_keeps_to_its_size(store: HostStore, offset: int, data: bytes) -> None:
    with store.writer(A, 10) as writer, pytest.raises(ValueError, match="do not lie in a file of 10"):
        writer.write(offset, data)


def test_the_first_of_two_writers_stays(store: HostStore) -> None:
    data = os.urandom(MAPPED)
    with store.writer(A, MAPPED) as one, store.writer(A, MAPPED) as other:
        for each in (one, other):
            each.write(0, data)
        one.commit()
        file = (store.path / A.hex()).stat().st_ino
        other.commit()
    assert (store.path / A.hex()).stat().st_ino == file
    assert store.map(A) == data


def test_more_pieces_than_the_kernel_takes_at_once(store: HostStore) -> None:
    parts = [bytes([number % 256]) * (number % 3) for number in range(5000)]
    store.put(A, parts)
    assert store.map(A) == b"".join(parts)


def test_a_slice_is_found_by_its_range(store: HostStore) -> None:
    with store.writer(A, 100, slice_offset=5000) as writer:
        writer.write(0, b"x" * 100)
        writer.commit()
    assert A not in store
    assert A not in store.ids()
    assert store.has(A, 5000, 100)
    assert not store.has(A, 5000, 99)
    assert store.map(A, 5000, 100) == store.read(A, 5000, 100) == b"x" * 100
    with pytest.raises(DataMissing):
        store.map(A, 5001, 99)
    store.put(A, [b"y" * 6000])
    assert store.map(A, 5000, 100) == b"y" * 100  # the whole is as good
    store.drop(A)
    assert not store.has(A, 5000, 100)


def test_who_opens_a_file_while_another_takes_its_name_gets_that(
    store: HostStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What he opened may be written again at once: nobody saw that he had it."""
    store.put(A, [b"a" * MAPPED])
    path = store.path / A.hex()
    really_open = os.open

    def open_too_late(opened: Path, *arguments: int) -> int:
        descriptor = really_open(opened, *arguments)
        if opened == path:
            monkeypatch.undo()
            store.drop(A)
            if not is_removed:
                store.put(A, [b"A" * MAPPED])
        return descriptor

    is_removed = False
    monkeypatch.setattr(os, "open", open_too_late)
    assert store.map(A) == b"A" * MAPPED
    is_removed = True
    monkeypatch.setattr(os, "open", open_too_late)
    with pytest.raises(DataMissing):
        store.map(A)


def test_who_has_mapped_it_keeps_what_was_dropped(store: HostStore) -> None:
    data = os.urandom(MAPPED)
    store.put(A, [data])
    view = store.map(A)
    store.drop(A)
    assert A not in store
    store.put(B, [os.urandom(MAPPED)])
    assert view == data


def test_few_descriptors_are_left_copies_are_made(store: HostStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(A, [b"a" * MAPPED])
    monkeypatch.setattr(resource, "getrlimit", lambda which: (8, 8))
    views = [store.map(A) for _ in range(5)]
    assert views[-1].obj.__class__ is bytes
    assert all(view == b"a" * MAPPED for view in views)


def test_the_least_recently_used_goes_to_disk(tmp_path: Path) -> None:
    store = join(tmp_path, limit_bytes=3000)
    for age, id in ((30, A), (20, B), (10, C)):
        store.put(id, [id[:1] * 1000])
        used_before(store, id, age)
    store.map(A)  # now the last to go
    store.put(b"d" * 16, [b"d" * 900])
    assert in_memory(store) == {A, C, b"d" * 16}
    assert store.map(B) == b"b" * 1000
    assert len(store.ids()) == 4
    store.check_invariants()
    store.drop(B)
    assert B not in store
    store.close()


def test_slices_go_to_disk_too(tmp_path: Path) -> None:
    store = join(tmp_path, limit_bytes=3000)
    with store.writer(A, 2000, slice_offset=7) as writer:
        writer.write(0, b"a" * 2000)
        writer.commit()
    store.put(B, [b"b" * 2000])
    assert not list((store.path / store_files.SLICES).iterdir())
    assert store.map(A, 7, 2000) == b"a" * 2000
    store.drop(A)
    assert not store.has(A, 7, 2000)
    store.close()


def test_what_is_mapped_stays_in_memory(tmp_path: Path) -> None:
    """To move it would free nothing."""
    store = join(tmp_path, limit_bytes=3 * MAPPED)
    for id in (A, B, C):
        store.put(id, [bytes(MAPPED)])
    views = [store.map(A), store.map(B)]
    store.put(b"d" * 16, [bytes(MAPPED)])
    assert in_memory(store) == {A, B, b"d" * 16}
    del views
    store.put(C, [bytes(MAPPED)])
    store.put(b"e" * 16, [bytes(MAPPED)])
    assert len(in_memory(store)) == 3
    store.close()


def test_what_is_larger_than_the_limit_goes_to_disk_at_once(tmp_path: Path) -> None:
    store = join(tmp_path, limit_bytes=3000)
    store.put(A, [bytes(1000)])
    store.put(B, [b"b" * 4000])
    assert in_memory(store) == {A}
    assert store.map(B) == b"b" * 4000
    store.close()


def test_a_full_file_system_is_as_good_as_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Less fits than the limit says: /dev/shm of a container has 64 MB, and others fill it too."""
    store = join(tmp_path)
    room = 3000
    allocate = os.posix_fallocate

    def allocate_within(descriptor: int, offset: int, size: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        others = [each.stat().st_size for each in path.parent.iterdir() if each != path and each.is_file()]
        if path.parent == store.path and sum(others) + size > room:
            raise OSError(28, "No space left on device")
        allocate(descriptor, offset, size)

    def usage(folder: Path) -> SimpleNamespace:
        return SimpleNamespace(free=room - sum(each.stat().st_size for each in folder.iterdir() if each.is_file()))

    monkeypatch.setattr(os, "posix_fallocate", allocate_within)
    monkeypatch.setattr(shutil, "disk_usage", usage)
    for age, id in ((20, A), (10, B)):
        store.put(id, [id[:1] * 1400])
        used_before(store, id, age)
    store.put(C, [b"c" * 1400])
    assert in_memory(store) == {B, C}
    store.put(b"d" * 16, [b"d" * 4000])
    assert store.map(b"d" * 16) == b"d" * 4000
    store.check_invariants()
    monkeypatch.setattr(store_room.StoreRoom, "_move_to_disk", lambda self, size: None)
    monkeypatch.setattr(os, "posix_fallocate", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OSError, match="neither memory nor disk has room for 5 bytes"):
        store.put(b"e" * 16, [b"eeeee"])
    assert not store_files.find_unfinished(store.path)
    store.close()


def test_a_wrong_count_is_put_right_before_anything_moves(tmp_path: Path) -> None:
    """A process died between making a file and counting it, or the other way round."""
    store = join(tmp_path, limit_bytes=3000)
    store.put(A, [bytes(1000)])
    (store.path / "count").write_bytes(store_room._Count.STORED.pack(2900, 3000))
    store.put(B, [bytes(1000)])
    assert in_memory(store) == {A, B}
    store.check_invariants()
    store.close()


def test_what_is_persisted_outlives_the_store(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    other = join(tmp_path)
    store = join(tmp_path, kept=kept)
    store.put(A, [b"aaaa"])
    store.put(B, [b"bbbb"])
    store.persist(A)
    store.persist(A)
    store.close()
    other.close()
    assert not list((tmp_path / "shm").iterdir())
    store = join(tmp_path, kept=kept)
    other = HostStore.at(store.path)
    assert other.ids() == [A]
    assert other.map(A) == b"aaaa"
    other.drop(A)
    store.close()
    assert not list(kept.iterdir())


def test_what_an_earlier_life_has_kept_for_nobody_goes(tmp_path: Path) -> None:
    store = join(tmp_path, kept=tmp_path / "kept")
    for id in (A, B):
        store.put(id, [id])
        store.persist(id)
    (tmp_path / "kept" / ".unfinished-x").touch()
    store.keep_only([B, C])
    assert [path.name for path in (tmp_path / "kept").iterdir()] == [B.hex()]
    store.close()
    store = join(tmp_path)
    store.keep_only([])
    assert (tmp_path / "kept" / B.hex()).exists()  # not ours to remove: nobody has said that it is the store's
    store.close()


def test_whether_anybody_has_joined_can_be_seen(tmp_path: Path) -> None:
    assert not HostStore.exists(CLUSTER, folder=tmp_path / "shm")
    store = join(tmp_path)
    assert HostStore.exists(CLUSTER, folder=tmp_path / "shm")
    store.close()
    assert not HostStore.exists(CLUSTER, folder=tmp_path / "shm")


def test_what_is_kept_need_not_be_copied_to_make_room(tmp_path: Path) -> None:
    store = join(tmp_path, limit_bytes=3000, kept=tmp_path / "kept")
    store.put(A, [b"a" * 2000])
    store.persist(A)
    store.put(B, [b"b" * 2000])
    assert in_memory(store) == {B}
    assert [path.name for path in (store.path / "spill").iterdir()] == [store_files.SLICES]
    assert store.map(A) == b"a" * 2000
    store.close()


def test_dropped_files_are_written_again(store: HostStore) -> None:
    store.put(A, [b"a" * MAPPED * 2])
    file = (store.path / A.hex()).stat().st_ino
    store.drop(A)
    store.put(B, [b"b" * (MAPPED + 1)])
    assert (store.path / B.hex()).stat().st_ino == file
    assert store.map(B) == b"b" * (MAPPED + 1)
    store.drop(B)
    store.put(C, [b"c" * (MAPPED - 1)])  # too small to matter
    store.put(A, [b"a" * MAPPED * 2])  # larger than what is there
    assert file not in {(store.path / id.hex()).stat().st_ino for id in (C, A)}


def test_dropped_files_are_not_written_again_while_they_are_mapped(store: HostStore) -> None:
    store.put(A, [b"a" * MAPPED])
    view = store.map(A)
    part = view[:5]
    store.drop(A)
    store.put(B, [b"b" * MAPPED])
    assert view == b"a" * MAPPED
    del view
    store.put(C, [b"c" * MAPPED])
    assert part == b"a" * 5
    file = next((store.path / "free").iterdir()).stat().st_ino
    del part
    store.put(A, [b"a" * MAPPED])
    assert (store.path / A.hex()).stat().st_ino == file


def test_no_more_dropped_files_are_kept_than_a_part_of_the_limit(tmp_path: Path) -> None:
    store = join(tmp_path, limit_bytes=24 * MAPPED)
    ids = [bytes([number]) * 16 for number in range(20)]
    for id in ids:
        store.put(id, [bytes(MAPPED)])
    store.drop(*ids)
    store.check_invariants()
    assert len(list((store.path / "free").iterdir())) == 6
    store.put(A, [bytes(7 * MAPPED)])
    store.drop(A)  # too large to be kept
    assert len(list((store.path / "free").iterdir())) == 6
    store.put(A, [bytes(24 * MAPPED)])  # takes all there is
    assert in_memory(store) == {A}
    store.check_invariants()
    store.close()


class Stores(RuleBasedStateMachine):
    """Two that joined and a slot, in one folder with room for a few of the larger data, against a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.data: dict[bytes, bytes] = {}
        self.slices: dict[tuple[bytes, int], bytes] = {}
        self.views: list[tuple[memoryview, bytes]] = []

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(store_free, "MIN_BYTES", 1000)
        joined = [join(self.folder, limit_bytes=2_000_000, kept=self.folder / "kept") for _ in range(2)]
        self.stores = [*joined, HostStore.at(joined[0].path)]

    which = st.integers(0, 2)
    ids = st.sampled_from([A, B, C, b"d" * 16])
    sizes = st.sampled_from([1, 70_000, 80_000, 120_000, 900_000, 3_000_000])

    def content(self, id: bytes, size: int) -> bytes:
        return (id * (size // 16 + 1))[:size]

    @rule(which=which, id=ids, size=sizes)
    def put(self, which: int, id: bytes, size: int) -> None:
        data = self.data.setdefault(id, self.content(id, size))
        self.stores[which].put(id, [data[:10], data[10:]])

    @rule(which=which, id=ids)
    def write_what_is_there(self, which: int, id: bytes) -> None:
        data = self.data.setdefault(id, self.content(id, 70_000))
        with self.stores[which].writer(id, len(data)) as writer:
            writer.write(0, data)
            writer.commit()

    @rule(which=which, id=ids, size=sizes, is_committed=st.booleans())
    def write_a_slice(self, which: int, id: bytes, size: int, is_committed: bool) -> None:
        with self.stores[which].writer(id, size, slice_offset=3) as writer:
            data = self.content(id[::-1], size)
            writer.write(0, data)
            if is_committed:
                writer.commit()
                self.slices[id, size] = data

    @precondition(lambda self: self.data)
    @rule(which=which, data=st.data())
    def view(self, which: int, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(sorted(self.data)))
        self.views.append((self.stores[which].map(id), self.data[id]))

    @precondition(lambda self: self.views)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        del self.views[data.draw(st.integers(0, len(self.views) - 1))]

    @rule(which=which, ids=st.sets(ids))
    def drop(self, which: int, ids: set[bytes]) -> None:
        self.stores[which].drop(*ids)
        for id in ids:
            self.data.pop(id, None)
        self.slices = {key: data for key, data in self.slices.items() if key[0] not in ids}

    @precondition(lambda self: self.data)
    @rule(which=which, data=st.data())
    def persist(self, which: int, data: st.DataObject) -> None:
        self.stores[which].persist(data.draw(st.sampled_from(sorted(self.data))))

    @rule(which=which)
    def clean(self, which: int) -> None:
        self.stores[which].remove_unfinished()

    @rule()
    def rejoin(self) -> None:
        self.stores[1].close()
        self.stores[1] = join(self.folder, kept=self.folder / "kept")

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "stores"):
            return
        for store in self.stores:
            store.check_invariants()
        one, other, slot = self.stores
        assert one.ids() == other.ids() == sorted(self.data)
        for id, data in self.data.items():
            assert slot.read(id) == data
        for (id, size), data in self.slices.items():
            if id not in self.data:
                assert other.has(id, 3, size)
                assert one.map(id, 3, size) == data
        assert all(view == data for view, data in self.views)

    def teardown(self) -> None:
        if hasattr(self, "stores"):
            self.patch.undo()
            for store in self.stores:
                store.close()
            assert not list((self.folder / "shm").iterdir())
            assert not list((self.folder / "disk").iterdir())
            shutil.rmtree(self.folder)


TestStores = Stores.TestCase
TestStores.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
