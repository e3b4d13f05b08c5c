"""The reaper: a small process beside each daemon, which kills what the slots leave behind when the daemon ends.

A slot is killed by the kernel when its agent ends (`slot`), but not what its tasks have started: parent-death
signals do not reach grandchildren. The reaper waits on a pipe whose other end only the agent holds, so it learns of
any end, `kill -9` included. It knows a slot's descendants by the slot's session, and those that began a session of
their own by a variable that is in every slot's environment: one that a task starts without it may stay.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from typing import NoReturn, Self

#: Set in slots, and inherited by what their tasks start.
SLOT_VARIABLE = "MANYHANDS_SLOT"

#: Seconds after which the reaper gives up on what cannot be killed (it hangs in the kernel).
_SWEEP_TIMEOUT = 10.0
_SWEEP_INTERVAL = 0.005
#: Seconds that an orderly end waits for the reaper to be done.
_CLOSE_TIMEOUT = 2.0


class Reaper:
    """The daemon's handle. Make it first of all: the process is a fork, small as long as little is imported."""

    def __init__(self) -> None:
        """Start the process. Raises OSError."""
        #: The value of SLOT_VARIABLE in slots.
        self.mark = os.urandom(16).hex()
        reading, self._pipe = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            _run(reading, self.mark)
        os.close(reading)
        os.set_blocking(self._pipe, False)

    def began(self, slot: int) -> None:
        """A slot's process was started: it leads a session."""
        self._tell(b"+%d\n" % slot)

    def ended(self, slot: int) -> None:
        """It has ended; its number may go to another process once it has been waited for."""
        self._tell(b"-%d\n" % slot)

    def _tell(self, line: bytes) -> None:
        # Somebody has killed or stopped the reaper: then the daemon must do without.
        with contextlib.suppress(BrokenPipeError, BlockingIOError):
            os.write(self._pipe, line)

    def close(self) -> None:
        """Have everything killed that is left, and wait for that."""
        os.close(self._pipe)
        deadline = time.monotonic() + _CLOSE_TIMEOUT
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(self._pid, os.WNOHANG) == (0, 0) and time.monotonic() < deadline:
                time.sleep(0.001)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# ---------------------------------------------------------------- in the process


def _run(pipe: int, mark: str) -> NoReturn:
    """All of the forked process: nothing of its parent's but the pipe."""
    code = 1
    try:
        os.setsid()  # what ends the daemon's group or terminal must not end this one too
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        for name in os.listdir("/dev/fd"):  # noqa: PTH208 - the daemon should not wait for pathlib
            if int(name) > 2 and int(name) != pipe:
                with contextlib.suppress(OSError):  # the listing's own
                    os.close(int(name))
        _sweep(mark, _sessions_left(pipe))
        code = 0
    finally:
        os._exit(code)


def _sessions_left(pipe: int) -> set[int]:
    """Wait for the daemon's end; the sessions of the slots that it then had."""
    sessions: set[int] = set()
    rest = b""
    while data := os.read(pipe, 4096):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"+"):
                sessions.add(int(line[1:]))
            else:
                sessions.discard(int(line[1:]))
    return sessions


def _sweep(mark: str, sessions: set[int]) -> None:
    """Kill until nothing is left: who is killed may just have started another."""
    if sys.platform != "linux":
        for session in sessions:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(session, signal.SIGKILL)
        return
    wanted = f"{SLOT_VARIABLE}={mark}\0".encode()
    deadline = time.monotonic() + _SWEEP_TIMEOUT
    clean = 0  # looks in a row that found nothing; two, as one may miss who moved meanwhile
    while clean < 2 and time.monotonic() < deadline:
        left = [pid for pid in _processes() if _is_left(pid, wanted, sessions)]
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        clean = 0 if left else clean + 1
        if left:
            time.sleep(_SWEEP_INTERVAL)


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208 - likewise


def _is_left(pid: int, wanted: bytes, sessions: set[int]) -> bool:
    """Whether a process belongs to a slot and still runs."""
    try:
        # After the name, which may hold anything: state, parent, group, session.
        state, _, _, session = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[:4]
        if state in {b"Z", b"X"}:
            return False
        return int(session) in sessions or wanted in _read(f"/proc/{pid}/environ")
    except OSError:  # it is gone, or another user's
        return False


def _read(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - likewise
        return file.read()
