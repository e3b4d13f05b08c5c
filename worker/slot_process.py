"""Starting a slot process: a clean interpreter, its pipes, its page, its environment."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from manyhands.wire.tokens import TOKEN_VARIABLE
from manyhands.worker import page
from manyhands.worker.reaper import SLOT_VARIABLE, Reaper

#: What a slot inherits as 1 unless the user chose: slots are the parallelism, a BLAS that starts a thread a core
#: in each of them is slower and not faster.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)

#: Room in a pipe, so that neither end waits for the other's attention. The system may grant less.
PIPE_BYTES = 1 << 20

# -P and -c: neither the current directory nor ours is on the path, and `__main__` is nobody's module.
_COMMAND = ("-P", "-c", "from manyhands.worker.slot import main; main()")


@dataclass(slots=True)
class SlotProcess:
    """A running slot and the agent's ends. All descriptors are non-blocking but the page's, which is mapped."""

    popen: subprocess.Popen[bytes]
    page: page.Page
    inbox: int  # the agent writes
    outbox: int  # the agent reads
    stdout: int
    stderr: int

    def close(self) -> None:
        """Close the agent's ends; the process must have ended."""
        for fd in (self.inbox, self.outbox, self.stdout, self.stderr):
            os.close(fd)
        self.page.close()


def slot_environment(base: Mapping[str, str], mark: str = "1") -> dict[str, str]:
    """What a slot's environment is, given the agent's and the reaper's mark."""
    environment = dict(base)
    environment.pop(TOKEN_VARIABLE, None)  # whoever started this process need not be who submits tasks
    for name in THREAD_VARIABLES:
        environment.setdefault(name, "1")
    environment[SLOT_VARIABLE] = mark
    return environment


def spawn(place: str, reaper: Reaper | None) -> SlotProcess:
    """Start a slot in a session of its own; `place` names the worker in errors. Raises OSError."""
    opened: list[int] = []
    try:
        page_fd = page.create()
        opened.append(page_fd)
        page_words = page.Page(page_fd)
        page_words.words[page.LIMIT] = page.NO_LIMIT
        pipes = []
        for _ in range(4):
            read, write = os.pipe2(os.O_CLOEXEC)
            opened += (read, write)
            pipes.append((read, write))
        (slot_in, inbox), (outbox, slot_out), (stdout, slot_stdout), (stderr, slot_stderr) = pipes
        for fd in (inbox, outbox):
            _widen(fd)
        popen = subprocess.Popen(
            [sys.executable, *_COMMAND, *map(str, (slot_in, slot_out, page_fd, os.getpid())), place],
            stdin=subprocess.DEVNULL,
            stdout=slot_stdout,
            stderr=slot_stderr,
            pass_fds=(slot_in, slot_out, page_fd),
            start_new_session=True,
            env=slot_environment(os.environ, reaper.mark if reaper is not None else "1"),
        )
    except BaseException:
        for fd in opened:
            os.close(fd)
        raise
    if reaper is not None:
        reaper.began(popen.pid)
    for fd in (page_fd, slot_in, slot_out, slot_stdout, slot_stderr):
        os.close(fd)
    for fd in (inbox, outbox, stdout, stderr):
        os.set_blocking(fd, False)
    return SlotProcess(popen, page_words, inbox, outbox, stdout, stderr)


def _widen(fd: int) -> None:
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        try:
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        except PermissionError:
            return  # the user's quota of pipe memory is used up: 64 KiB work too
