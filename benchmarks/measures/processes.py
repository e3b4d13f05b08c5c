"""Owns what measures ask about the process tree of a system: who is in it, its memory, its CPU time."""

import contextlib
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

MEGABYTE = 1_000_000
#: The subcommands of `python -m manyhands` whose process holds a master.
MASTER_COMMANDS = ("master", "embedded", "local")
#: Seconds between two looks at the memory.
SAMPLE_INTERVAL = 0.1


def family() -> list[psutil.Process]:
    """This process and everything below it."""
    me = psutil.Process()
    return [me, *me.children(recursive=True)]


def masters() -> list[psutil.Process]:
    """Those below this process that run a manyhands master; empty if no command line tells.

    A process forked by a master has its command line too, but is none: only the uppermost counts.
    """
    found = [process for process in psutil.Process().children(recursive=True) if _is_master(process.cmdline())]
    ids = {process.pid for process in found}
    return [process for process in found if process.ppid() not in ids]


def _is_master(command: Sequence[str]) -> bool:
    if "manyhands" not in command:
        return False
    following = command[command.index("manyhands") + 1 :]
    return bool(following) and following[0] in MASTER_COMMANDS


def cpu_seconds(processes: Sequence[psutil.Process]) -> float:
    """User and system time of those that still live; a process that ends in between takes its share along."""
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def memory_in_use(processes: Sequence[psutil.Process]) -> int:
    """Bytes of memory that these hold for themselves, and that this host's processes share, each page counted once.

    Shared memory is the whole host's: what nobody has mapped at the moment is in use as well.
    """
    total = _kilobytes(Path("/proc/meminfo"), "Shmem:")
    for process in processes:
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            total += _kilobytes(Path(f"/proc/{process.pid}/smaps_rollup"), "Pss_Anon:")
    return 1024 * total


def reset_peak(process: psutil.Process) -> None:
    """`peak_bytes` counts from here."""
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")


def peak_bytes(process: psutil.Process) -> int:
    """The most memory that it had resident, what it shares included."""
    return 1024 * _kilobytes(Path(f"/proc/{process.pid}/status"), "VmHWM:")


def _kilobytes(path: Path, label: str) -> int:
    [line] = [line for line in path.read_text().splitlines() if line.startswith(label)]
    return int(line.split()[1])


class MemoryWatch:
    """Samples the resident memory of some processes from a thread; growth is peak over the start, in MB."""

    def __init__(self, processes: Sequence[psutil.Process]) -> None:
        self._processes = processes
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self.baseline = self.peak = self._resident()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self.peak = max(self.peak, self._resident())

    @property
    def growth(self) -> float:
        return (self.peak - self.baseline) / MEGABYTE

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_INTERVAL):
            self.peak = max(self.peak, self._resident())

    def _resident(self) -> int:
        total = 0
        for process in self._processes:
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return total
