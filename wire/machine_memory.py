"""How much memory this process may use: the machine's, or what its control group is allowed."""

from __future__ import annotations

import os
from pathlib import Path

#: What is assumed where the system does not tell.
_UNKNOWN_BYTES = 4 << 30


def machine_memory(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes. `proc` and `cgroups` are where the kernel tells; elsewhere in tests."""
    try:
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        physical = 0
    return min([physical if physical > 0 else _UNKNOWN_BYTES, *_allowed(proc, cgroups)])


def _allowed(proc: Path, cgroups: Path) -> list[int]:
    """The limits of our control group and of those around it, in either version of the hierarchy."""
    try:
        lines = (proc / "self/cgroup").read_text().splitlines()
    except OSError:
        return []
    found: list[int] = []
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not controllers:
            root, name = cgroups, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = cgroups / "memory", "memory.limit_in_bytes"
        else:
            continue
        folder = root / path.lstrip("/")
        found += [limit for each in (folder, *folder.parents) if (limit := _number(each / name))]
    return found


def _number(path: Path) -> int:
    """0 if there is none, or no limit."""
    try:
        text = path.read_text().strip()
    except OSError:
        return 0
    return int(text) if text.isdecimal() else 0
