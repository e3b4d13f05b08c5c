"""Owns the life of measuring processes: starts one, bounds its time, ends what it leaves, by process id."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from benchmarks.measures import MEASURES
from benchmarks.orphans import adopt_orphans
from benchmarks.readings import Reading, Scale

#: Seconds that processes get to end by themselves after their system was shut down, and after SIGTERM.
GRACE = 2.0
#: Lines of a failed repetition's output that reach the terminal.
LOG_TAIL = 25


@dataclass(slots=True)
class Repetition:
    """What one process measured, or why it did not."""

    readings: list[Reading] = field(default_factory=list)
    failure: str = ""
    timed_out: bool = False
    strays: list[str] = field(default_factory=list)
    log_tail: str = ""


class Laboratory:
    """A scratch folder in which measuring processes run, outside the repository.

    They find `benchmarks` through a link beside their working directory, so that its functions travel by
    reference, as an installed package's do, and the repository's own folders stay off their import path.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._repository = Path(__file__).resolve().parent.parent
        self._imports = scratch / "i"
        self._imports.mkdir()
        (self._imports / "benchmarks").symlink_to(Path(__file__).resolve().parent)
        (scratch / "w").mkdir()
        (scratch / "t").mkdir()

    def run(self, measure: str, system: str, scale: Scale) -> Repetition:
        output, log = self._scratch / "output.json", self._scratch / "log"
        output.unlink(missing_ok=True)
        command = [
            sys.executable,
            "-m",
            "benchmarks.child",
            measure,
            system,
            json.dumps(asdict(scale)),
            str(output),
        ]
        repetition = Repetition()
        with log.open("wb") as stream:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                cwd=self._scratch / "w",
                env=self._environment(),
            )
            try:
                process.wait(MEASURES[measure].TIMEOUT)
            except subprocess.TimeoutExpired:
                repetition.timed_out = True
                repetition.failure = f"timed out after {MEASURES[measure].TIMEOUT:.0f} s"
                end_processes([psutil.Process(process.pid), *_descendants()])
                process.wait()
            except BaseException:
                end_processes([psutil.Process(process.pid), *_descendants()])
                process.wait()
                raise
        if not repetition.timed_out:
            self._read(output, process.returncode, repetition)
            repetition.strays = self._end_strays()
        if repetition.failure:
            repetition.failure = self._anonymous(repetition.failure)
            repetition.log_tail = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL:])
        return repetition

    def _read(self, output: Path, returncode: int, repetition: Repetition) -> None:
        try:
            answer = json.loads(output.read_text())
        except (OSError, ValueError):
            repetition.failure = f"the measuring process ended with exit code {returncode} and no answer"
            return
        repetition.readings = [Reading(**reading) for reading in answer.get("readings", ())]
        repetition.failure = answer.get("failure", "")

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(self._imports),
            "PYTHONSAFEPATH": "1",
            # Parsl finds its own programs on the path.
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            "BENCH_SCRATCH": str(self._scratch / "t"),
        }

    def _end_strays(self) -> list[str]:
        """Ends what a stopped system left running; returns the names of those processes."""
        deadline = time.monotonic() + GRACE
        while (left := _descendants()) and time.monotonic() < deadline:
            time.sleep(0.05)
        names = []
        for process in left:
            with contextlib.suppress(psutil.Error):
                names.append(self._anonymous(" ".join(process.cmdline()).strip()[:120] or process.name()))
        end_processes(left)
        return names

    def _anonymous(self, text: str) -> str:
        """Results are published: no path of this machine belongs into them."""
        for path, name in (
            (self._scratch, "SCRATCH"),
            (self._repository, "REPOSITORY"),
            (sys.prefix, "VENV"),
            (sys.base_prefix, "PYTHON"),
            (Path.home(), "HOME"),
        ):
            text = text.replace(str(path), name)
        return text


@contextlib.contextmanager
def laboratory() -> Iterator[Laboratory]:
    """A laboratory for as long as the context lasts; what a measured system orphans stays below this process."""
    adopt_orphans()
    # Ray keeps sockets there, and a socket's path holds 107 bytes at most: a short name.
    with tempfile.TemporaryDirectory(prefix="mh", ignore_cleanup_errors=True) as scratch:
        yield Laboratory(Path(scratch))


def end_processes(processes: Sequence[psutil.Process]) -> None:
    """SIGTERM, a moment, SIGKILL; each process by its id, and reaped where it is ours."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=GRACE)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=GRACE)


def _descendants() -> list[psutil.Process]:
    """Everything alive below this process; adopted zombies are reaped on the way."""
    alive = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.status() == psutil.STATUS_ZOMBIE:
                if process.ppid() == os.getpid():
                    with contextlib.suppress(ChildProcessError):
                        os.waitpid(process.pid, os.WNOHANG)
                continue
            alive.append(process)
    return alive
