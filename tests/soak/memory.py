"""What a process occupies for itself."""

from __future__ import annotations

import re
from pathlib import Path

_PRIVATE = re.compile(r"^Private_(?:Clean|Dirty):\s+(\d+) kB$", re.MULTILINE)


def private_bytes(pid: int) -> int:
    """The unique set size: what would be free if the process ended. Its libraries' pages, which others share or
    the system may drop, say nothing about leaks.
    """
    return sum(map(int, _PRIVATE.findall(Path(f"/proc/{pid}/smaps_rollup").read_text()))) << 10
