"""A look at SQLite's write-ahead log before it is opened: a torn tail is to be expected, damage before it is not.

SQLite itself drops everything from the first bad frame on, silently. That is right for a commit that was being written
when the machine stopped. But a commit is begun only after the one before it was synced: where frames of a later commit
follow a bad one, something that had been promised is lost. Format: https://www.sqlite.org/fileformat2.html#walformat
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")


@dataclass(frozen=True, slots=True)
class Survey:
    """frames: whole ones, up to the last commit; torn: those after it, of a commit that was never completed; damaged:
    a commit is incomplete and others follow it.
    """

    frames: int = 0
    torn: int = 0
    damaged: bool = False


def survey(path: Path) -> Survey:
    """Read the log at `path`; an empty one if there is none."""
    try:
        data = memoryview(path.read_bytes())
    except FileNotFoundError:
        return Survey()
    if len(data) < _HEADER.size:
        return Survey()
    magic, _, page_size, _, salt1, salt2, check1, check2 = _HEADER.unpack_from(data)
    if magic not in (0x377F0682, 0x377F0683):
        return Survey()
    order = ">" if magic & 1 else "<"
    if _checksum(data[:24], order, (0, 0)) != (check1, check2):
        return Survey()  # the log was being begun anew: its content is in the database
    size = _FRAME.size + page_size
    sums = (check1, check2)
    committed = 0
    count = (len(data) - _HEADER.size) // size
    for number in range(count):
        at = _HEADER.size + number * size
        _, commit, a, b, *expected = _FRAME.unpack_from(data, at)
        sums = _checksum(data[at : at + 8], order, sums)
        sums = _checksum(data[at + _FRAME.size : at + size], order, sums)
        if (a, b) != (salt1, salt2) or list(sums) != expected:
            break
        if commit:
            committed = number + 1
    return _judge(data, size, committed, count, (salt1, salt2))


def _judge(data: memoryview, size: int, committed: int, count: int, salts: tuple[int, int]) -> Survey:
    """What lies beyond the last whole commit: older frames that the log has not reached again, or newer ones."""
    newer = commits = 0
    later = False
    for number in range(committed, count):
        _, commit, a, b, *_ = _FRAME.unpack_from(data, _HEADER.size + number * size)
        if (a, b) == salts:
            newer += 1
            later = later or commits > 0
            commits += bool(commit)
    return Survey(committed, newer, later)


def _checksum(data: memoryview, order: str, sums: tuple[int, int]) -> tuple[int, int]:
    a, b = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for first, second in zip(words[::2], words[1::2], strict=True):
        a = (a + first + b) & 0xFFFFFFFF
        b = (b + second + a) & 0xFFFFFFFF
    return a, b
