"""What a process has started, and what that has: as the kernel lists it."""

from __future__ import annotations

import contextlib
import os


def descendants(pid: int) -> list[int]:
    """The numbers of the children of `pid`, of theirs, and so on; not of those whose own parent has ended.

    None where the kernel lists no children: not Linux, or built without CONFIG_PROC_CHILDREN.
    """
    found: list[int] = []
    parents = [pid]
    while parents:
        children = _children(parents.pop())
        found += children
        parents += children
    return found


def _children(pid: int) -> list[int]:
    """Each thread has its own."""
    children: list[int] = []
    with contextlib.suppress(OSError):  # it has ended
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - many times a second
            with (
                contextlib.suppress(OSError),  # likewise
                open(f"/proc/{pid}/task/{thread}/children", "rb") as file,  # noqa: PTH123 - likewise
            ):
                children += map(int, file.read().split())
    return children
