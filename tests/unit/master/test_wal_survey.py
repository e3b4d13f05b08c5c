"""A torn log is told from a damaged one, byte by byte."""

import random
import sqlite3
from pathlib import Path

import pytest

from manyhands.master.wal_survey import Survey, survey

COMMITS = 12
PAGE = 512
FRAME = 24 + PAGE


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[int]]:
    """A log of some commits, and how many frames there were after each."""
    path = tmp_path_factory.mktemp("wal") / "db"
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(f"PRAGMA page_size = {PAGE}")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA wal_autocheckpoint = 0")
    db.execute("CREATE TABLE t (data BLOB)")
    wal = path.with_name("db-wal")
    ends = []
    for number in range(COMMITS):
        db.execute("INSERT INTO t VALUES (?)", (bytes(300 + 400 * (number % 3)),))
        ends.append((wal.stat().st_size - 32) // FRAME)
    data = wal.read_bytes()
    db.close()
    return data, ends


def look(path: Path, data: bytes) -> Survey:
    path.write_bytes(data)
    return survey(path)


def test_no_log_and_a_whole_one(log: tuple[bytes, list[int]], tmp_path: Path) -> None:
    data, ends = log
    assert survey(tmp_path / "none") == Survey()
    assert look(tmp_path / "wal", b"") == Survey()
    assert look(tmp_path / "wal", data) == Survey(frames=ends[-1])


def test_cut_anywhere_it_is_torn_and_never_damaged(log: tuple[bytes, list[int]], tmp_path: Path) -> None:
    data, ends = log
    for length in range(32, len(data), 37):
        found = look(tmp_path / "wal", data[:length])
        frames = (length - 32) // FRAME
        whole = max([end for end in ends if end <= frames], default=0)
        assert whole in (found.frames, 0)  # the table itself was made in a commit before these
        assert not found.damaged
        assert found.torn == frames - found.frames


def test_damage_is_told_where_a_later_commit_was_begun(log: tuple[bytes, list[int]], tmp_path: Path) -> None:
    data, ends = log
    rng = random.Random(5)
    for commit in range(1, COMMITS):
        lo, hi = ends[commit - 1], ends[commit]
        for _ in range(10):
            frame = rng.randrange(lo, hi)
            at = 32 + frame * FRAME + 24 + rng.randrange(PAGE)
            spoilt = bytearray(data)
            spoilt[at] ^= 1 << rng.randrange(8)
            found = look(tmp_path / "wal", bytes(spoilt))
            assert found.frames == lo
            assert found.damaged == (commit < COMMITS - 1)
            assert found.torn == ends[-1] - lo


def test_frames_of_an_earlier_round_are_nothing(log: tuple[bytes, list[int]], tmp_path: Path) -> None:
    """After a checkpoint SQLite begins at the front again, with new salts; what lies behind is old."""
    data, ends = log
    older = bytearray(data)
    for frame in range(ends[5], ends[-1]):
        at = 32 + frame * FRAME + 8
        older[at : at + 4] = b"\0\0\0\1"
    assert look(tmp_path / "wal", bytes(older)) == Survey(frames=ends[5])
