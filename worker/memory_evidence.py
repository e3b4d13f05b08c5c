"""Whether a slot may have died for lack of memory: what the kernel lets everybody read.

Its log, which would name the process, is not for everybody. But it counts the processes that it killed for lack of
memory: in our control group, and on the whole machine.
"""

from __future__ import annotations

import signal
from pathlib import Path

#: Less than this part of the machine's memory to be had counts as none.
SCARCE = 0.05


class MemoryEvidence:
    """One for the agent. `root` and `proc` are where the kernel tells; elsewhere in tests."""

    def __init__(self, proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> None:
        self._proc = proc
        self._cgroup = _cgroup(proc, cgroups)
        self._kills = self._count()

    def of_death(self, exit_code: int) -> str:
        """What speaks for it that the process which has just ended (negative: by that signal) lacked memory."""
        before, self._kills = self._kills, self._count()
        if exit_code != -signal.SIGKILL:
            return ""
        in_group, anywhere = self._kills[0] - before[0], self._kills[1] - before[1]
        if in_group > 0:
            return "the kernel killed a process of this worker's control group, as its memory limit was reached"
        if anywhere > 0:
            return "the kernel killed a process of this machine for lack of memory at that time"
        numbers = _numbers(self._proc / "meminfo")
        total, available = numbers.get("MemTotal:", 0), numbers.get("MemAvailable:", 0)
        if total and available < SCARCE * total:
            return f"it may have run out of memory: the machine had only {available >> 10} MiB left"
        return ""

    def _count(self) -> tuple[int, int]:
        """(processes killed in our control group, on the machine) so far."""
        in_group = _numbers(self._cgroup / "memory.events").get("oom_kill", 0) if self._cgroup is not None else 0
        return in_group, _numbers(self._proc / "vmstat").get("oom_kill", 0)


def _cgroup(proc: Path, cgroups: Path) -> Path | None:
    """Our control group's folder, in the unified hierarchy."""
    try:
        lines = (proc / "self/cgroup").read_text().splitlines()
    except OSError:
        return None
    path = next((line[3:] for line in lines if line.startswith("0::")), None)
    return None if path is None else cgroups / path.lstrip("/")


def _numbers(path: Path) -> dict[str, int]:
    """Lines of "name number", as the kernel writes them; none if it does not."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    fields = [line.split() for line in lines]
    return {each[0]: int(each[1]) for each in fields if len(each) > 1 and each[1].isdigit()}
