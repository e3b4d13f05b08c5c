"""A run: a real master and worker, an honest client, and attackers in other processes; what all of them saw."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil
from tests.fuzz.tally import Tally

ROOT = Path(__file__).parents[2]

#: Seconds beyond the time asked for after which a process hangs.
PATIENCE = 60.0

#: Seconds that the honest client may wait for anything; beyond it the cluster stalls.
STALL = 30.0

#: What a master says when it has met what it should not have.
_FAULT = re.compile(
    r"Traceback \(most recent|internal error|never retrieved|Exception in callback|Unhandled|broke|Fatal"
)


def fault_in(log: str) -> str:
    """What a daemon says that it should not have to; empty: nothing. What a slot prints is its task's own."""
    own = "\n".join(line for line in log.splitlines() if not re.match(r"\[\d+\] ", line))
    found = _FAULT.search(own)
    return own[max(0, found.start() - 500) : found.start() + 3000] if found is not None else ""


@dataclass(slots=True)
class Outcome:
    seed: int
    seconds: float
    tally: Tally
    honest: dict[str, Any]
    #: The master's, in bytes, at the beginning and at the end.
    memory: tuple[int, int]
    master_log: list[str] = field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        """What must not have happened; none: the run has passed."""
        found = [f"crash: {each}" for each in self.tally.crashes]
        honest = self.honest
        if honest["wrong"] or honest["failed"]:
            found.append(f"the honest client: {honest['wrong']} wrong, {honest['failed']} failed: {honest['troubles']}")
        if honest["worst"] > STALL:
            found.append(f"the honest client waited for {honest['worst']:.1f} s")
        if not honest["done"]:
            found.append("the honest client came to nothing")
        return found


class Processes:
    """All that were started, with what they say; ended with the `with` block."""

    def __init__(self, folder: Path, tell: Callable[[str], None]) -> None:
        self._folder = folder
        self._tell = tell
        self._all: dict[str, subprocess.Popen[str]] = {}
        #: Tokens and their access file are where nobody else's are.
        self._env = {**os.environ, "XDG_STATE_HOME": str(folder / "state"), "XDG_DATA_HOME": str(folder / "data")}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(list(self._all.values())):
            if process.poll() is None:
                process.terminate()
        for process in self._all.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(self, name: str, *words: str) -> subprocess.Popen[str]:
        """`python -m WORDS`, with its stdout in our hands and its stderr in a file."""
        with self._log(name).open("a") as log:
            self._all[name] = process = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", "-m", *words],
                cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                env=self._env, start_new_session=True,
            )  # fmt: skip
        return process

    def daemon(self, name: str, *words: str) -> subprocess.Popen[str]:
        """A daemon whose whole output goes to its file."""
        with self._log(name).open("a") as log:
            self._all[name] = process = subprocess.Popen(
                [sys.executable, "-P", "-X", "faulthandler", "-m", "manyhands", *words],
                cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, text=True, env=self._env,
                start_new_session=True,
            )  # fmt: skip
        return process

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def said(self, name: str) -> str:
        return self._log(name).read_text(errors="replace")

    def wait_for(self, name: str, pattern: str, timeout: float = 30.0) -> re.Match[str]:
        end = time.monotonic() + timeout
        while (found := re.search(pattern, self.said(name))) is None:
            assert self._all[name].poll() is None, f"{name} has ended: {self.said(name)}"
            assert time.monotonic() < end, f"{name} does not say {pattern!r}: {self.said(name)}"
            time.sleep(0.02)
        return found

    def tally_of(self, name: str, timeout: float) -> Tally:
        """What a process of attackers counted. One that hangs is ended with a trace of where it was."""
        process = self._all[name]
        try:
            out, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            process.wait()
            return Tally(crashes=[f"{name} hung: {self.said(name)[-5000:]}"])
        if process.returncode:
            return Tally(crashes=[f"{name} ended with {process.returncode}: {self.said(name)[-5000:]}"])
        return Tally.from_json(json.loads(out))


def run(seed: int, seconds: float, inputs: int, lives: int, folder: Path, tell: Callable[[str], None]) -> Outcome:
    """lives: processes that attack a life of their own."""
    with Processes(folder, tell) as processes:
        master = processes.daemon("master", "master", "--port", "0", "--data-dir", str(folder / "journal"))
        address = processes.wait_for("master", r"serves at (\S+)")[1]
        worker = processes.daemon("worker", "worker", address, "--slots", "1", "--memory", "1GiB")
        honest = processes.start("honest", "tests.fuzz.honest", address)
        assert honest.stdout is not None
        assert honest.stdin is not None
        assert honest.stdout.readline() == "ready\n", processes.said("honest")
        memory = psutil.Process(master.pid).memory_info().rss
        limits = ("--seed", str(seed), "--seconds", str(seconds), "--inputs", str(inputs))
        processes.start("attackers", "tests.fuzz.attackers", address, *limits)
        names = ["attackers", *(f"life-{number}" for number in range(1, lives + 1))]
        for name in names[1:]:
            processes.start(name, "tests.fuzz.life", f"{seed}/{name}", str(seconds), str(inputs))
        tell(f"master at {address}, {' and '.join(names)} begin; logs in {folder}")
        tally = Tally()
        end = time.monotonic() + seconds + PATIENCE
        for name in names:
            found = processes.tally_of(name, max(1.0, end - time.monotonic()))
            tell(f"{name}: {found.total} inputs in {found.sessions} sessions, {len(found.crashes)} crashes")
            tally.add(found)
        try:
            out, _ = honest.communicate("\n", timeout=STALL + PATIENCE)
            seen = json.loads(out)
        except (subprocess.TimeoutExpired, json.JSONDecodeError):
            honest.kill()
            seen = {"done": 0, "wrong": 0, "failed": 1, "worst": STALL, "troubles": [processes.said("honest")[-2000:]]}
        for name, daemon in (("master", master), ("worker", worker)):
            if daemon.poll() is not None:
                tally.crashes.append(f"the {name} ended with {daemon.returncode}: {processes.said(name)[-5000:]}")
            elif fault := fault_in(processes.said(name)):
                tally.crashes.append(f"the {name} says: {fault}")
        after = psutil.Process(master.pid).memory_info().rss if master.poll() is None else 0
        return Outcome(seed, seconds, tally, seen, (memory, after))
