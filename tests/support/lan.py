"""Several hosts for tests: the network of `scripts/lan`, made anew and removed at the end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.daemons import Daemon

SCRIPT = Path(__file__).parents[2] / "scripts" / "lan"


class NoLan(Exception):
    """The network cannot be made here; the text says why."""


class Lan:
    """One network of its own. Raises NoLan."""

    def __init__(self, name: str) -> None:
        self._env = {**os.environ, "MANYHANDS_LAN": name}

    def __enter__(self) -> Self:
        made = self._run("up")
        if made.returncode:
            raise NoLan(made.stderr.strip())
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        self("down")

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [SCRIPT, *arguments], env=self._env, capture_output=True, text=True, timeout=30, check=False
        )

    def __call__(self, *arguments: str) -> str:
        """`scripts/lan ...`: what it says."""
        done = self._run(*arguments)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def daemon(self, host: str, *arguments: str) -> Daemon:
        """`manyhands ...` on a host."""
        return Daemon(*arguments, env=self._env, through=(str(SCRIPT), "exec", host))

    def script(self, host: str, path: Path, *arguments: str) -> subprocess.Popen[str]:
        """A Python script on a host."""
        command: Sequence[str | Path] = [SCRIPT, "exec", host, sys.executable, path, *arguments]
        return subprocess.Popen(
            command, env=self._env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
