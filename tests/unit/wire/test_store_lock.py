"""Who uses a store's folder: it is there while somebody does, gone after, and never somebody else's."""

from __future__ import annotations

import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from manyhands.wire import store_folder
from manyhands.wire.host_store import HostStore
from manyhands.wire.store_folder import StoreFolderRefused, identity_of, make_private, memory_base, spill_base
from manyhands.wire.store_lock import FolderLock, remove_abandoned

CLUSTER = bytes(range(16))


def test_the_last_one_out_removes_it(tmp_path: Path) -> None:
    path = tmp_path / "x.store"
    one, other = FolderLock.take(path), FolderLock.take(path)
    (path / "file").touch()
    one.release()
    one.release()
    assert path.exists()
    other.release()
    assert not path.exists()


def test_the_abandoned_are_removed_and_nothing_else(tmp_path: Path) -> None:
    used = FolderLock.take(tmp_path / "used.store")
    for name in ("abandoned.store/slices", "nothing.of.ours"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").touch()
    outside = tmp_path / "nothing.of.ours"
    (tmp_path / "abandoned.store" / "kept").symlink_to(outside)
    remove_abandoned(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nothing.of.ours", "used.store"]
    assert (outside / "file").exists()
    used.release()


def test_who_waits_for_a_folder_that_is_being_removed_makes_it_anew(tmp_path: Path) -> None:
    path = tmp_path / "x.store"
    path.mkdir(mode=0o700)
    (path / "old").touch()
    removing = os.open(path, os.O_RDONLY)
    fcntl.flock(removing, fcntl.LOCK_EX)
    with ThreadPoolExecutor(1) as pool:
        taking = pool.submit(FolderLock.take, path)
        (path / "old").unlink()
        path.rmdir()
        os.close(removing)
        lock = taking.result(10)
    assert path.exists()
    assert not list(path.iterdir())
    lock.release()


def test_comers_and_goers_never_lose_what_they_use(tmp_path: Path) -> None:
    def come_and_go(number: int) -> None:
        id = bytes([number]) * 16
        for _ in range(60):
            store = HostStore.join(CLUSTER, folder=tmp_path / "shm", disk=tmp_path / "disk", limit_bytes=200)
            for size in (150, 250):
                store.put(id, [bytes(size)])
                assert len(store.read(id)) == size
                store.drop(id)
            store.close()

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(come_and_go, number) for number in range(4)]:
            done.result()
    assert not list((tmp_path / "shm").iterdir())
    assert not list((tmp_path / "disk").iterdir())


def test_it_is_for_its_owner_alone(tmp_path: Path) -> None:
    store = HostStore.join(CLUSTER, folder=tmp_path / "shm", disk=tmp_path / "disk")
    store.put(CLUSTER, [b"x"])
    for path in [store.path, (store.path / "spill").readlink(), *store.path.iterdir(), store.path / CLUSTER.hex()]:
        if not path.is_symlink():
            assert not path.stat().st_mode & 0o077, path
    store.close()


def test_what_is_not_ours_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreFolderRefused, match="no folder"):
        make_private(tmp_path / "file")
    ours = make_private(tmp_path / "ours")
    (tmp_path / "link").symlink_to(ours)
    with pytest.raises(StoreFolderRefused, match="no folder"):
        make_private(tmp_path / "link")
    (tmp_path / "open").mkdir(mode=0o750)
    with pytest.raises(StoreFolderRefused, match="chmod 700"):
        make_private(tmp_path / "open")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(StoreFolderRefused, match="belongs to another user"):
        make_private(ours)


def test_where_there_is_no_shared_memory_it_lies_among_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(store_folder, "_SHARED_MEMORY", tmp_path / "absent")
    assert memory_base() == tmp_path / f"manyhands-{os.geteuid()}"
    monkeypatch.setattr(store_folder, "_SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(store_folder, "_MIN_MEMORY_BYTES", 1 << 60)
    assert memory_base() == tmp_path / f"manyhands-{os.geteuid()}"
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert spill_base() == tmp_path / f"manyhands-{os.geteuid()}-spill"


def test_folders_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (make_private(tmp_path / name) for name in "ab")
    assert identity_of(one) == identity_of(one)
    assert identity_of(one) != identity_of(other)
    here = identity_of(one)
    boot = tmp_path / "boot_id"
    boot.write_text("another machine")
    monkeypatch.setattr(store_folder, "_BOOT_ID", boot)
    assert identity_of(one) not in {here, identity_of(other)}
    boot.unlink()
    assert identity_of(one) != identity_of(one)  # shared with nobody rather than with the wrong one
