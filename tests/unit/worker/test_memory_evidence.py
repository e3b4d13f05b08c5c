"""What speaks for it that a slot died for lack of memory, from files as the kernel writes them."""

from __future__ import annotations

import signal
from pathlib import Path

from manyhands.worker.memory_evidence import MemoryEvidence


class Kernel:
    def __init__(self, folder: Path) -> None:
        self.proc, self.cgroups = folder / "proc", folder / "cgroup"
        (self.proc / "self").mkdir(parents=True)
        (self.cgroups / "slice/worker").mkdir(parents=True)
        (self.proc / "self/cgroup").write_text("1:name=systemd:/x\n0::/slice/worker\n")
        self.say()

    def say(self, in_group: int = 2, anywhere: int = 5, available_kib: int = 8_000_000) -> None:
        (self.cgroups / "slice/worker/memory.events").write_text(f"low 0\nmax 7\noom 3\noom_kill {in_group}\n")
        (self.proc / "vmstat").write_text(f"nr_free_pages 12\noom_kill {anywhere}\n")
        (self.proc / "meminfo").write_text(f"MemTotal: 16000000 kB\nMemAvailable: {available_kib} kB\n")

    def evidence(self) -> MemoryEvidence:
        return MemoryEvidence(self.proc, self.cgroups)


def test_counts_that_grew(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    evidence = kernel.evidence()
    kernel.say(in_group=3, anywhere=6)
    assert "control group" in evidence.of_death(-signal.SIGKILL)
    assert evidence.of_death(-signal.SIGKILL) == "", "that was before"
    kernel.say(in_group=3, anywhere=7)
    assert "a process of this machine" in evidence.of_death(-signal.SIGKILL)


def test_only_a_kill_can_be_the_kernels(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    evidence = kernel.evidence()
    kernel.say(in_group=3, available_kib=1000)
    assert evidence.of_death(-signal.SIGSEGV) == ""
    assert evidence.of_death(1) == ""


def test_little_left(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    evidence = kernel.evidence()
    kernel.say(available_kib=102_400)
    assert evidence.of_death(-signal.SIGKILL) == "it may have run out of memory: the machine had only 100 MiB left"


def test_a_kernel_that_tells_nothing(tmp_path: Path) -> None:
    assert MemoryEvidence(tmp_path / "none", tmp_path / "none").of_death(-signal.SIGKILL) == ""
