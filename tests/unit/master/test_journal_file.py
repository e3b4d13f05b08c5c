"""The journal's file: what is refused, and what is there after the machine stopped at any moment."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from manyhands.master import journal_file
from manyhands.master.journal import Journal
from manyhands.master.journal_file import NAME, JournalFault, JournalFile
from manyhands.protos import manyhands_pb2 as pb

SESSION = bytes(16)


def with_file(directory: Path, use: Callable[[JournalFile], object] = lambda file: None, **options: object) -> object:
    """Open, use and close a journal."""

    async def main() -> object:
        file = JournalFile(directory, **options)
        try:
            made = use(file)
            return await made if asyncio.iscoroutine(made) else made
        finally:
            file.close()

    return asyncio.run(main())


async def fill(file: JournalFile, jobs: range, after_each: Callable[[int], None] = lambda _: None) -> None:
    """Open a job, with a block, in a commit of its own each; `after_each` once it is acknowledged."""
    journal = Journal(file, on_broken=pytest.fail)
    journal.client_joined(SESSION, pb.Hello(session=SESSION))
    for job in jobs:
        journal.opened(job, SESSION, job, pb.OpenJob(name=f"job {job}"))
        journal.block(job, pb.Block(first=0, ends=bytes(4), payload=bytes(5000)))
        await journal.synced()
        after_each(job)


def jobs_of(file: JournalFile) -> list[int]:
    return [job.job for job in file.take_kept().jobs]


def test_everything_is_there_again_and_each_life_has_its_number(tmp_path: Path) -> None:
    identity = with_file(tmp_path, lambda file: (file.epoch, file.identity))
    assert identity[0] == 1
    with_file(tmp_path, lambda file: fill(file, range(1, 4)))
    assert with_file(tmp_path, lambda file: (file.epoch, file.identity, jobs_of(file))) == (3, identity[1], [1, 2, 3])


def test_one_master_at_a_time(tmp_path: Path) -> None:
    def again(_: JournalFile) -> None:
        with pytest.raises(JournalFault, match="another master keeps its journal in"):
            JournalFile(tmp_path)

    with_file(tmp_path, again)
    with_file(tmp_path)


@pytest.mark.parametrize("content", [b"", b"something", b"x" * 5000])
def test_a_foreign_file_is_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(JournalFault, match=r"is not a manyhands journal: move it away"):
        with_file(tmp_path)
    assert (tmp_path / NAME).read_bytes() == content
    (tmp_path / NAME).unlink()
    sqlite3.connect(tmp_path / NAME).execute("CREATE TABLE t (x)").connection.close()
    with pytest.raises(JournalFault, match=r"is not a manyhands journal"):
        with_file(tmp_path)


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        (99, r"by a later manyhands \(format 99.*: install that"),
        (1, r"before its first release \(format 1, .*: finish"),
    ],
)
def test_another_format_is_refused(tmp_path: Path, version: int, sentence: str) -> None:
    with_file(tmp_path)
    db = sqlite3.connect(tmp_path / NAME)
    db.execute(f"PRAGMA user_version = {version}")
    db.close()
    with pytest.raises(JournalFault, match=sentence):
        with_file(tmp_path)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalFault, match="cannot keep a journal in"):
        with_file(tmp_path / "file" / "dir")


def test_damage_in_the_database_is_refused(tmp_path: Path) -> None:
    with_file(tmp_path, lambda file: fill(file, range(1, 50)))
    path = tmp_path / NAME
    data = bytearray(path.read_bytes())
    data[3 * 8192 : 5 * 8192] = b"\xa5" * 2 * 8192
    path.write_bytes(data)
    with pytest.raises(JournalFault, match=r"is damaged \(.*\): restore it and the files beside it from a backup"):
        with_file(tmp_path)
    assert path.read_bytes() == data


def copy_while_open(source: Path, target: Path, jobs: range) -> None:
    """What a kill -9 leaves: the files as they are before a last checkpoint."""

    async def fill_and_copy(file: JournalFile) -> None:
        await fill(file, jobs)
        shutil.copytree(source, target)

    with_file(source, fill_and_copy)


def test_a_torn_tail_is_dropped_and_counted(tmp_path: Path) -> None:
    copy_while_open(tmp_path / "a", tmp_path / "b", range(1, 6))
    wal = tmp_path / "b" / f"{NAME}-wal"
    wal.write_bytes(wal.read_bytes()[:-100])
    dropped, jobs = with_file(tmp_path / "b", lambda file: (file.dropped_frames, jobs_of(file)))
    assert dropped > 0
    assert jobs == [1, 2, 3, 4]


def test_damage_before_the_tail_is_refused(tmp_path: Path) -> None:
    copy_while_open(tmp_path / "a", tmp_path / "b", range(1, 6))
    wal = tmp_path / "b" / f"{NAME}-wal"
    data = bytearray(wal.read_bytes())
    data[len(data) // 2] ^= 0xFF
    wal.write_bytes(data)
    with pytest.raises(JournalFault, match=r"its log is damaged at frame \d+, before others that are whole"):
        with_file(tmp_path / "b")
    assert wal.read_bytes() == data


def test_stopped_while_it_was_being_made(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.new").write_bytes(b"half of a databa")
    with_file(tmp_path, lambda file: fill(file, range(1, 3)))
    assert with_file(tmp_path, jobs_of) == [1, 2]


# ------------------------------------------------------------ what had reached the disk


class Disk:
    """The journal's files as they stood at each sync: what is left if the power fails right after."""

    def __init__(self) -> None:
        self.synced: dict[str, bytes] = {}
        self.states: list[tuple[int, dict[str, bytes]]] = []  # (jobs acknowledged by then, files)
        self.acknowledged = 0

    def note(self) -> None:
        self.states.append((self.acknowledged, dict(self.synced)))


class WatchedFile(apsw.VFSFile):
    def __init__(self, disk: Disk, name: object, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        self._path = Path(name.filename() if isinstance(name, apsw.URIFilename) else str(name))

    def xSync(self, flags: int) -> None:  # noqa: N802 - apsw's name
        super().xSync(flags)
        self._disk.synced[self._path.name] = self._path.read_bytes()
        self._disk.note()


class WatchedDisk(apsw.VFS):
    def __init__(self, disk: Disk, name: str) -> None:
        self._disk = disk
        super().__init__(name, "")

    def xOpen(self, name: object, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - likewise
        return WatchedFile(self._disk, name, flags)


class Careless(apsw.Connection):
    """Takes no heed of the order to sync."""

    def execute(self, statement: str, *arguments: object, **options: object) -> apsw.Cursor:
        return super().execute(statement.replace("synchronous = FULL", "synchronous = OFF"), *arguments, **options)


def run_on(disk: Disk, directory: Path, connection: type[apsw.Connection]) -> None:
    name = f"watched-{id(disk)}"
    vfs = WatchedDisk(disk, name)

    def connect(path: Path) -> apsw.Connection:
        disk.synced[path.name] = path.read_bytes()  # it was made, and synced, before
        return connection(str(path), vfs=name)

    def after_each(job: int) -> None:
        disk.acknowledged = job
        disk.note()

    with_file(directory, lambda file: fill(file, range(1, 26), after_each), connect=connect)
    vfs.unregister()


def lost_after(disk: Disk, folder: Path) -> list[tuple[int, list[int]]]:
    """Restart from each state of the files: what had been acknowledged, and is not there."""
    lost = []
    for number, (acknowledged, files) in enumerate(disk.states):
        directory = folder / str(number)
        directory.mkdir(parents=True)
        for name, content in files.items():
            (directory / name).write_bytes(content)
        found = with_file(directory, jobs_of)
        missing = sorted(set(range(1, acknowledged + 1)) - set(found))
        if missing:
            lost.append((number, missing))
    return lost


def test_what_was_acknowledged_is_there_from_the_files_as_they_stood_at_each_sync(
    tmp_path: Path,
) -> None:
    disk = Disk()
    run_on(disk, tmp_path / "run", apsw.Connection)
    assert len(disk.states) > 50
    assert lost_after(disk, tmp_path / "again") == []


def test_and_that_would_be_noticed_if_it_were_not(tmp_path: Path) -> None:
    disk = Disk()
    run_on(disk, tmp_path / "run", Careless)
    assert lost_after(disk, tmp_path / "again")


def test_room_that_is_used_no_more_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_file, "LOOK_EVERY", 10)
    monkeypatch.setattr(journal_file, "SPARE_PAGES", 100)
    monkeypatch.setattr(journal_file, "WAL_BYTES", 1 << 16)

    async def fill_and_forget(file: JournalFile) -> None:
        journal = Journal(file, on_broken=pytest.fail)
        for job in range(1, 41):
            journal.opened(job, SESSION, job, pb.OpenJob())
            journal.block(job, pb.Block(first=0, ends=bytes(4), payload=bytes(200_000)))
            await journal.synced()
        for job in range(1, 41):
            journal.forget(job)
            await journal.synced()

    with_file(tmp_path, fill_and_forget)
    assert (tmp_path / NAME).stat().st_size < 4_000_000, "of 8"


def test_a_full_disk_is_no_room_and_later_it_goes_on(tmp_path: Path) -> None:
    async def fill_up(file: JournalFile) -> None:
        journal = Journal(file, on_broken=pytest.fail)
        troubles: list[str] = []
        journal.on_trouble = troubles.append
        await journal.synced()
        pages = file._db.execute("PRAGMA page_count").fetchone()[0]
        file._db.execute(f"PRAGMA max_page_count = {pages + 3}")
        journal.opened(1, SESSION, 1, pb.OpenJob())
        journal.block(1, pb.Block(first=0, ends=bytes(4), payload=bytes(200_000)))
        waiting = asyncio.ensure_future(journal.synced())
        while not troubles:
            await asyncio.sleep(0.01)
        assert "full" in troubles[0]
        assert not waiting.done()
        file._db.execute("PRAGMA max_page_count = 1000000")
        await asyncio.wait_for(waiting, 10)
        assert troubles[1:] == [""]

    with_file(tmp_path, fill_up)
    assert with_file(tmp_path, jobs_of) == [1]
