"""Real daemons for tests: started on free ports, their output at hand, gone at the end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self


def wait_until(holds: Callable[[], object], timeout: float = 20.0, what: str = "") -> object:
    """Poll until `holds()` is true and return that; fail with what was last seen."""
    deadline = time.monotonic() + timeout
    while not (seen := holds()):
        assert time.monotonic() < deadline, f"{what or holds}: last seen {seen!r}"
        time.sleep(0.01)
    return seen


class Daemon:
    """`manyhands ...` as a process; its output is collected as it comes."""

    def __init__(self, *arguments: str, env: dict[str, str] | None = None, through: Sequence[str] = ()) -> None:
        """`through`: the beginning of a command that runs the rest of it elsewhere, as the same process."""
        self.process = subprocess.Popen(
            [*through, sys.executable, "-P", "-m", "manyhands", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, pattern: str, timeout: float = 20.0) -> re.Match[str]:
        """The first match of `pattern` in the output."""

        def look() -> re.Match[str] | None:
            found = re.search(pattern, self.output)
            if found is None and self.process.poll() is not None:
                self._reader.join(5)
                found = re.search(pattern, self.output)
                assert found, f"it ended with {self.process.returncode}, saying: {self.output}"
            return found

        found = wait_until(look, timeout, f"{pattern!r} in the output")
        assert isinstance(found, re.Match)
        return found

    def wait(self, timeout: float = 20.0) -> int:
        """Its exit code, once it has ended by itself."""
        code = self.process.wait(timeout)
        self._reader.join(5)
        return code

    def kill(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        """End it politely, or else not; its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
        code = self.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        self.stop()


def start_master(*arguments: str) -> tuple[Daemon, str]:
    """A master on a free port of this machine, and its address."""
    master = Daemon("master", "--port", "0", *arguments)
    return master, master.wait_for(r"serves at (\S+)")[1]
