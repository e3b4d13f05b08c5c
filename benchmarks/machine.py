"""Owns the description of where a result comes from: hardware, kernel, versions, commit, load; no paths."""

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

PACKAGES = ("manyhands", "grpcio", "protobuf", "cloudpickle", "uvloop", "ray", "distributed", "parsl")
#: Above this load at the start, others are at work on this machine and the figures are theirs as well.
QUIET_LOAD = 0.5


def describe() -> dict[str, str]:
    memory = psutil.virtual_memory().total / 2**30
    return {
        "processor": _processor(),
        "cores": f"{os.cpu_count()} ({len(os.sched_getaffinity(0))} usable)",
        "memory": f"{memory:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def commit() -> str:
    """The checked-out commit's short hash, `-dirty` where files differ from it; `uncommitted` without one."""
    short = _git("rev-parse", "--short", "HEAD")
    if not short:
        return "uncommitted"
    changed = _git("status", "--porcelain", "--", ":!benchmarks/results")
    return f"{short}-dirty" if changed else short


def load() -> float:
    """Processes that wanted a core during the last minute, on average."""
    return os.getloadavg()[0]


def stolen_seconds() -> float:
    """Core seconds that a hypervisor kept from this machine since it started; 0 where it does not say."""
    return float(getattr(psutil.cpu_times(), "steal", 0.0))


def remarks(load: float, stolen: float) -> list[str]:
    """On a run that began under this load, and from which a hypervisor kept this share of a core."""
    told = [f"Load average at the start: {load:.2f}."]
    if load > QUIET_LOAD:
        told.append("**Others were at work on this machine when the run began: do not rely on these figures.**")
    if stolen > 0.01:
        told.append(f"The hypervisor kept {stolen:.1%} of a core from this machine during the run.")
    return told


def _processor() -> str:
    try:
        lines: Sequence[str] = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = ()
    for line in lines:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(Path(__file__).resolve().parent.parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
