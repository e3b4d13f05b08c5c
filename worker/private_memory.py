"""How much private memory a slot uses, with what its tasks have started, as the kernel tells whoever is the same user.

Private is what nobody else could use or give: anonymous pages, in memory or swapped out. Mapped files and shared
memory are not.
"""

from __future__ import annotations

import os
import sys

from manyhands.worker import process_tree


def is_countable() -> bool:
    """Whether this system tells."""
    return sys.platform == "linux" and _bytes_of(_read(f"/proc/{os.getpid()}/status"), b"\nRssAnon:") is not None


def estimate(pid: int) -> tuple[int, list[int]]:
    """(bytes, processes that share some of them): an upper bound, and exact if there is only one process.

    Quick (0.05 ms). A page that forked processes share until one of them writes to it is counted for each of them.
    """
    pids = [pid, *process_tree.descendants(pid)]
    return sum(map(_upper_bound, pids)), pids


def exact(pids: list[int]) -> int:
    """Bytes of these processes together, each shared page once; it takes about 20 ms a GiB."""
    return sum(map(_proportional, pids))


def _upper_bound(pid: int) -> int:
    status = _read(f"/proc/{pid}/status")
    return (_bytes_of(status, b"\nRssAnon:") or 0) + (_bytes_of(status, b"\nVmSwap:") or 0)


def _proportional(pid: int) -> int:
    """Each page divided by the number of processes that have it."""
    rollup = _read(f"/proc/{pid}/smaps_rollup")
    resident = _bytes_of(rollup, b"\nPss_Anon:")
    if resident is None:  # a Linux before 5.3, or a process that nobody may look into
        return _upper_bound(pid)
    return resident + (_bytes_of(rollup, b"\nSwapPss:") or 0)


def _read(path: str) -> bytes:
    """Nothing if the process is gone, or another user's."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - many times a second
            return file.read()
    except OSError:
        return b""


def _bytes_of(text: bytes, name: bytes) -> int | None:
    """The amount in the line "name  number kB"; None if there is no such line."""
    at = text.find(name)
    return None if at < 0 else int(text[at + len(name) : text.index(b"kB", at)]) << 10
