"""Tearing a journal's tail: what SQLite had committed survives, what it had not is gone."""

import shutil
import sqlite3
from pathlib import Path
from random import Random

import pytest
from tests.chaos.torn_tail import tear_tail


def copied_while_open(folder: Path, rows: int, *, unfinished: bool) -> Path:
    """The files as a killed writer leaves them."""
    (folder / "live").mkdir()
    writer = sqlite3.connect(folder / "live" / "journal.db", isolation_level=None)
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("PRAGMA cache_size=1")  # so that a transaction spills before it commits
    writer.execute("CREATE TABLE t (x)")
    for row in range(rows):
        writer.execute("INSERT INTO t VALUES (?)", (row,))
    if unfinished:
        writer.execute("BEGIN")
        writer.executemany("INSERT INTO t VALUES (?)", [(bytes(3000),)] * 50)
    shutil.copytree(folder / "live", folder / "copy", ignore=shutil.ignore_patterns("*-shm"))
    writer.close()
    return folder / "copy"


@pytest.mark.parametrize("unfinished", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_committed_rows_survive(tmp_path: Path, seed: int, *, unfinished: bool) -> None:
    copy = copied_while_open(tmp_path, 20, unfinished=unfinished)
    size = (copy / "journal.db-wal").stat().st_size
    said = tear_tail(copy, Random(seed))
    assert "bytes kept" in said
    assert (copy / "journal.db-wal").stat().st_size != size
    assert (" 0 replaced" in said) is not unfinished
    reader = sqlite3.connect(copy / "journal.db")
    assert reader.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert [x for (x,) in reader.execute("SELECT x FROM t")] == list(range(20))
    reader.close()


def test_a_folder_without_a_log_and_a_file_that_is_none(tmp_path: Path) -> None:
    assert tear_tail(tmp_path, Random(1)) == "there was no log"
    (tmp_path / "x-wal").write_bytes(bytes(100))
    with pytest.raises(ValueError, match="no write-ahead log"):
        tear_tail(tmp_path, Random(1))
