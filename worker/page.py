"""The page that a slot shares with its agent: 64-bit words, each written by one side only.

An aligned 64-bit store is one instruction here (memoryview copies an item of native format with a fixed-size
memcpy), so neither side ever reads half a word. `cutting` says in which order the words are used.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os

PAGE_BYTES = mmap.PAGESIZE
NOTE_OFFSET = 1024
NOTE_BYTES = 256

#: The limit of a slot that may run everything it is fed.
NO_LIMIT = 1 << 63

# Words of the slot.
STARTED = 0  #: the position it began last, or is about to begin
SINCE = 1  #: when, as a double: time.monotonic(), which is one clock for all processes of a Linux host
BUSY = 2  #: 1 while it may be running a task, 0 while it waits for its pipe
PROGRESSED = 3  #: when a task last said that it makes progress, as SINCE; before SINCE if it was an earlier task
NOTE = 4  #: how many bytes it said about that; they lie at NOTE_OFFSET
SETTING_UP = 5  #: 1 while it makes the context of the task that it began; SINCE is set anew before it is 0 again
# The agent's words, in a cache line of their own.
LIMIT = 16  #: the slot starts only positions below
INTERRUPT = 17  #: the position of the task that is to stop; see `slot_interrupts`


def create() -> int:
    """A file descriptor of a new page, all zero; the file has no name and goes with its last user."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("manyhands-slot", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    else:  # pragma: no cover - not Linux
        import tempfile  # slots need only the class below

        fd, path = tempfile.mkstemp(prefix="manyhands-slot-")
        os.unlink(path)  # noqa: PTH108 - slots do without pathlib
    os.ftruncate(fd, PAGE_BYTES)
    return fd


#: F_SEAL_SEAL, _SHRINK, _GROW and _FUTURE_WRITE (which the module fcntl lacks before Python 3.13).
_SEALS = 0x1 | 0x2 | 0x4 | 0x10


def seal(fd: int) -> None:
    """Once both sides have mapped it: nobody can write to the page's descriptor, or truncate it.

    mmap keeps a descriptor of its own in the slot, where user code may write to whatever is open.
    """
    if hasattr(fcntl, "F_ADD_SEALS"):
        with contextlib.suppress(OSError):  # a Linux before 5.1
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)


class Page:
    """A mapping of the page. `words`, `times` and `note` are the same memory, the last one only a part of it."""

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, PAGE_BYTES)
        view = memoryview(self._map)
        self.words = view.cast("Q")
        self.times = view.cast("d")
        self.note = view[NOTE_OFFSET : NOTE_OFFSET + NOTE_BYTES]
        view.release()

    def close(self) -> None:
        """Unmap."""
        self.words.release()
        self.times.release()
        self.note.release()
        self._map.close()
