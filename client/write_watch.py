"""Whether memory was written to since: told by the kernel's page tables, faster than to look. Linux 6.7 and later.

Pages are write-protected through userfaultfd in the mode in which the kernel itself lifts the protection at the first
write (UFFD_FEATURE_WP_ASYNC), so nobody has to serve faults; PAGEMAP_SCAN tells which pages still have it.
See ioctl_userfaultfd(2) and the kernel's Documentation/admin-guide/mm/pagemap.rst.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import struct
import sys
import threading
import weakref
from functools import cache
from pathlib import Path

#: The number of userfaultfd(2), for which the C library has no function.
_SYSCALLS = {"x86_64": 323, "aarch64": 282}
_USER_MODE_ONLY = 1  # needs no privilege; the kernel's own writes are seen all the same
_API, _WP_ASYNC = 0xAA, 1 << 15
_UFFDIO_API, _UFFDIO_REGISTER, _UFFDIO_UNREGISTER = 0xC018AA3F, 0xC020AA00, 0x8010AA01
_UFFDIO_WRITEPROTECT, _PAGEMAP_SCAN = 0xC018AA06, 0xC0606610
_REGISTER_MODE_WP, _WRITEPROTECT_WP = 1 << 1, 1
_WPALLOWED, _WRITTEN, _FILE, _PRESENT, _SWAPPED = (1 << bit for bit in range(5))
_SCAN_BYTES = 96


class WriteWatch:
    """Watches memory while it lives: its whole pages, so all but `head` bytes at its start and `tail` at its end."""

    def __init__(self, kernel: _Kernel, address: int, size: int) -> None:
        self._kernel, self._address, self._size = kernel, address, size
        self._start, self._end = _pages(address, size)
        self._has_begun = False
        weakref.finalize(self, kernel.leave, self._start, self._end).atexit = False

    @property
    def head(self) -> int:
        return self._start - self._address

    @property
    def tail(self) -> int:
        return self._address + self._size - self._end

    def is_over(self, address: int, size: int) -> bool:
        """Whether this is the memory."""
        return (self._address, self._size) == (address, size)

    def begin(self) -> None:
        """From now on, writes count."""
        self._has_begun = self._kernel.protect(self._start, self._end)

    def is_untouched(self) -> bool:
        """Nothing was written since `begin`. False if the kernel cannot tell for each page."""
        return self._has_begun and self._kernel.is_protected(self._start, self._end)


def write_watch(address: int, size: int) -> WriteWatch | None:
    """A watch over private memory, which it is for the caller to know to be private.

    None where the kernel has no such thing or does not let us, and if others watch some of these pages. In a process
    that was forked off it sees nothing, and says so.
    """
    kernel = _kernel()
    return WriteWatch(kernel, address, size) if kernel is not None and kernel.enter(*_pages(address, size)) else None


def _pages(address: int, size: int) -> tuple[int, int]:
    """Start and end of the whole pages within."""
    page = mmap.PAGESIZE
    return -(-address // page) * page, (address + size) // page * page


class _Kernel:
    """What the kernel does for one process: both files are bound to the memory of the process that opened them."""

    def __init__(self) -> None:
        self._is_here = True
        self._faults = _open_userfaultfd()
        self._page_map = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        #: Each page has one watch at most: `protect` makes every page look as if it had not been written.
        self._watched: set[tuple[int, int]] = set()
        self._lock = threading.RLock()  # a watch's end may come while we hold it
        os.register_at_fork(after_in_child=self._forked_off)

    def _forked_off(self) -> None:
        self._is_here = False
        _kernel.cache_clear()

    def enter(self, start: int, end: int) -> bool:
        with self._lock:
            if start >= end or any(start < theirs and begin < end for begin, theirs in self._watched):
                return False
            try:
                fcntl.ioctl(self._faults, _UFFDIO_REGISTER, struct.pack("4Q", start, end - start, _REGISTER_MODE_WP, 0))
            except OSError:  # memory of a kind that cannot be watched, or that another userfaultfd watches
                return False
            self._watched.add((start, end))
            return True

    def leave(self, start: int, end: int) -> None:
        if not self._is_here:
            return
        with self._lock:
            self._watched.discard((start, end))
            try:
                fcntl.ioctl(self._faults, _UFFDIO_UNREGISTER, struct.pack("2Q", start, end - start))
            except OSError:  # the memory is gone already, and with it its registration
                return

    def protect(self, start: int, end: int) -> bool:
        if not self._is_here:
            return False
        try:
            fcntl.ioctl(self._faults, _UFFDIO_WRITEPROTECT, struct.pack("3Q", start, end - start, _WRITEPROTECT_WP))
        except OSError:  # some of it is not registered any more: moved, or unmapped
            return False
        return True

    def is_protected(self, start: int, end: int) -> bool:
        """Whether every page is there, private, and has not been written."""
        if not self._is_here:
            return False
        found = (ctypes.c_uint64 * 3)()
        wanted = (_WRITTEN | _FILE, _WPALLOWED | _WRITTEN | _FILE, _PRESENT | _SWAPPED, _WPALLOWED)
        # A bytearray, as only of what can be written to `ioctl` gives the number that comes back.
        scan = bytearray(struct.pack("12Q", _SCAN_BYTES, 0, start, end, 0, ctypes.addressof(found), 1, 0, *wanted))
        try:
            regions = fcntl.ioctl(self._page_map, _PAGEMAP_SCAN, scan)
        except OSError:
            return False
        return regions == 1 and (found[0], found[1]) == (start, end)


@cache
def _kernel() -> _Kernel | None:
    if sys.platform != "linux" or os.uname().machine not in _SYSCALLS or struct.calcsize("P") != 8 or _is_filtered():
        return None
    try:
        return _Kernel()
    except OSError:  # an older kernel, or not allowed
        return None


def _is_filtered() -> bool:
    """Whether some system calls are forbidden here: that of a kind that services do not make may end the process."""
    return "Seccomp:\t0\n" not in Path("/proc/self/status").read_text()


def _open_userfaultfd() -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    file: int = libc.syscall(_SYSCALLS[os.uname().machine], os.O_CLOEXEC | os.O_NONBLOCK | _USER_MODE_ONLY)
    if file < 0:
        raise OSError(ctypes.get_errno(), "userfaultfd")
    try:
        fcntl.ioctl(file, _UFFDIO_API, struct.pack("3Q", _API, _WP_ASYNC, 0))
    except OSError:
        os.close(file)
        raise
    return file
