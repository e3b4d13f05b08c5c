"""Tears the tail of a journal, as a power cut would: what lies beyond the last commit of SQLite's log is replaced."""

from __future__ import annotations

import struct
from pathlib import Path
from random import Random
from typing import Final

# https://www.sqlite.org/fileformat2.html#walformat
_HEADER: Final = struct.Struct(">8I")  # magic, version, page size, checkpoint, salts, checksums
_FRAME: Final = struct.Struct(">6I")  # page, size of the database if it commits, salts, checksums
_MAGIC: Final = (0x377F0682, 0x377F0683)


def tear_tail(data_dir: Path, rng: Random) -> str:
    """Of every write-ahead log in `data_dir`, whose writer is dead; what was done, in words.

    A writer syncs at each commit, so all up to the last one must survive. Behind it stands, afterwards, what a
    power cut leaves of the next transaction: a frame that claims to commit, of which only a part was written.
    """
    logs = sorted(data_dir.glob("*-wal"))
    return ", ".join(_tear(log, rng) for log in logs) or "there was no log"


def _tear(log: Path, rng: Random) -> str:
    data = log.read_bytes()
    if len(data) < _HEADER.size:
        return f"{log.name}: empty"
    magic, _, page_bytes, _, *salts, _, _ = _HEADER.unpack_from(data)
    if magic not in _MAGIC:
        raise ValueError(f"{log} is no write-ahead log")
    kept = end_of_last_commit(data, page_bytes, tuple(salts))
    frame = _FRAME.pack(1, 1, *salts, rng.getrandbits(32), rng.getrandbits(32)) + rng.randbytes(page_bytes)
    torn = frame[: rng.randrange(1, len(frame))]
    with log.open("r+b") as file:
        file.truncate(kept)
        file.seek(kept)
        file.write(torn)
    return f"{log.name}: {kept} bytes kept, {len(data) - kept} replaced by {len(torn)}"


def end_of_last_commit(data: bytes, page_bytes: int, salts: tuple[int, ...]) -> int:
    """Where the last whole frame that commits ends; frames with other salts are of an earlier use of the file."""
    position = kept = _HEADER.size
    while position + _FRAME.size + page_bytes <= len(data):
        _, committed_pages, *frame_salts, _, _ = _FRAME.unpack_from(data, position)
        if tuple(frame_salts) != salts:
            break
        position += _FRAME.size + page_bytes
        if committed_pages:
            kept = position
    return kept
