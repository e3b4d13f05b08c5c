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
    return sys.platform == "linux" and "RssAnon:" in _fields(f"/proc/{os.getpid()}/status")


def estimate(pid: int) -> tuple[int, list[int]]:
    """(bytes, processes that share some of them): an upper bound, and exact if there is only one process.

    Quick (0.1 ms). A page that forked processes share until one of them writes to it is counted for each of them.
    """
    pids = [pid, *process_tree.descendants(pid)]
    return sum(map(_upper_bound, pids)), pids


def exact(pids: list[int]) -> int:
    """Bytes of these processes together, each shared page once; it takes about 50 ms a GiB."""
    return sum(map(_proportional, pids))


def _upper_bound(pid: int) -> int:
    fields = _fields(f"/proc/{pid}/status")
    return fields.get("RssAnon:", 0) + fields.get("VmSwap:", 0)


def _proportional(pid: int) -> int:
    """Each page divided by the number of processes that have it."""
    fields = _fields(f"/proc/{pid}/smaps_rollup")
    if "Pss_Anon:" not in fields:  # a Linux before 5.3, or a process that nobody may look into
        return _upper_bound(pid)
    return fields["Pss_Anon:"] + fields.get("SwapPss:", 0)


def _fields(path: str) -> dict[str, int]:
    """Lines of "Name:  number kB", in bytes; none if the process is gone, or another user's."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - many times a second
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return {}
    return {each[0]: int(each[1]) << 10 for line in lines if len(each := line.split()) == 3 and each[2] == "kB"}
