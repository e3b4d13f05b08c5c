"""A look into the journal of a master that runs."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from manyhands.master.journal_file import NAME


def rows(data_dir: Path) -> dict[str, int]:
    """Of each table, how many it has."""
    with contextlib.closing(sqlite3.connect(f"file:{data_dir / NAME}?mode=ro", uri=True)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in sorted(tables)}


def size_bytes(data_dir: Path) -> int:
    """The database and its log."""
    return sum(path.stat().st_size for path in data_dir.glob(f"{NAME}*"))
