"""What the fields of a message may hold at most: who fills them keeps to it, and who receives them checks it."""

from __future__ import annotations

#: What is counted or written down: SQLite's integers have a sign.
COUNT_MAX = (1 << 63) - 1

#: Seconds, 31 years: far beyond any task, and small enough for every sum that is made of them.
SECONDS_MAX = 1e9

#: No item is longer when pickled: a message carries 2 GiB at most, with what is around the item.
ITEM_BYTES_MAX = (1 << 31) - (1 << 20)

#: Characters of a name that people give to a job, a worker or a host.
NAME_LENGTH_MAX = 1000


def name_fault(name: str) -> str | None:
    """Why `name` is none that is safe to print on any terminal, as the end of a sentence; None if it is. So is ""."""
    if len(name) > NAME_LENGTH_MAX:
        return f"has {len(name)} characters, and at most {NAME_LENGTH_MAX} are allowed"
    if not name.isprintable():
        return f"has characters that cannot be printed: {name[:60]!r}"
    return None


def printable(name: str) -> str:
    """`name`, or as much of it as can be a name."""
    if name_fault(name) is None:
        return name
    return "".join(each if each.isprintable() else "?" for each in name[:NAME_LENGTH_MAX])
