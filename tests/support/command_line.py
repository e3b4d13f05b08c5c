"""The command line for tests: run to its end, its exit code and output at hand."""

import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from manyhands.status import fetch_status

MODULE = (sys.executable, "-P", "-m", "manyhands")


def run_cli(*arguments: str | Path, command: Sequence[str] = MODULE, timeout: float = 30) -> tuple[int, str]:
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=timeout, check=False)
    return done.returncode, done.stdout + done.stderr


def status(address: str) -> dict[str, Any]:
    """What `manyhands status --json` shows, without its process."""
    return fetch_status(address)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
