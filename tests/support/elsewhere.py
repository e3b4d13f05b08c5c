"""Other hosts on this one: processes that share no memory with ours."""

from __future__ import annotations

import subprocess

import pytest
from tests.support.daemons import Daemon

#: The beginning of a command: the rest of it runs with a /dev/shm of its own, as the same process. Needs root.
ELSEWHERE = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /dev/shm && exec "$@"', "sh")


def skip_unless_possible() -> None:
    """Skip the test where no second host can be made."""
    tried = subprocess.run([*ELSEWHERE, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no second host can be made here: {tried.stderr.strip()}")


def worker_elsewhere(address: str) -> Daemon:
    """A worker of one slot on another host."""
    return Daemon("worker", address, "--slots", "1", through=ELSEWHERE)
