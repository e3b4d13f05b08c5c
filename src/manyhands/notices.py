"""What daemons say on their terminals: how to join a master, and how a worker and its master fare."""

from __future__ import annotations

import sys
from pathlib import Path

from manyhands._version import __version__
from manyhands.addresses import host_port, is_loopback, reachable_host
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.sizes import shown


def counted(number: int, noun: str) -> str:
    """As people say it: 1 slot, 2 slots."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def print_how_to_join(host: str, port: int, data_dir: Path | None = None) -> None:
    """On stdout: the commands for workers and clients, to be copied; `data_dir`: where the journal is."""
    address = host_port(reachable_host(host), port)
    where = "on this machine:" if is_loopback(host) else "on any host:    "
    lines = [
        f"manyhands {__version__}: the master serves at {address}",
        f"  start a worker {where}  manyhands worker {address}",
        f'  use it from Python:              Client("{address}")',
        f"  look at it:                      manyhands status {address}",
    ]
    if data_dir is not None:
        lines.append(f"  its journal:                     {data_dir}")
    if is_loopback(host):
        lines.append("  for other machines, start it with --host 0.0.0.0")
    else:
        lines.append(
            f"warning: anybody who can reach {address} can run code on its workers, for access control is not there "
            "yet; use it only on a network you trust, or bind 127.0.0.1"
        )
    print("\n".join(lines), flush=True)  # noqa: T201 - what the commands are for


def print_draining(tasks: int, timeout: float) -> None:
    """On stderr: why the process is still there."""
    print(  # noqa: T201 - what the commands are for
        f"manyhands: finishing {counted(tasks, 'running task')}, for {timeout:g} s at most; press Ctrl-C again, "
        "or send SIGTERM, to stop at once",
        file=sys.stderr,
        flush=True,
    )


class WorkerNotices:
    """Tells a worker's terminal each change, once, however many attempts to reach the master there are."""

    def __init__(self, address: str, slots: int, memory_bytes: int = 0) -> None:
        self._address = address
        self._slots = counted(slots, "slot")
        if memory_bytes:
            self._slots += f", which may use {shown(memory_bytes)} of memory each"
        self._was_welcomed = False
        self._has_complained = False
        self._warnings: set[str] = set()

    def on_welcome(self, welcome: pb.Welcome) -> None:
        """The master has accepted us, or taken us back."""
        if not self._was_welcomed:
            self._say(f"joined the master at {self._address} with {self._slots}")
        elif self._has_complained:
            self._say(f"joined the master at {self._address} again")
        self._was_welcomed, self._has_complained = True, False
        for warning in welcome.warnings:
            if warning not in self._warnings:
                self._warnings.add(warning)
                self._say(f"warning: {warning}")

    def on_link_lost(self, reason: str) -> None:
        """An attempt failed, or a connection broke."""
        if self._has_complained:
            return
        self._has_complained = True
        if self._was_welcomed:
            self._say(f"lost the master at {self._address} ({reason}); trying until it is back")
        else:
            self._say(f"no master answers at {self._address} yet ({reason}); trying until one does")

    def _say(self, sentence: str) -> None:
        # Not on stdout, which has what tasks print.
        print(f"manyhands: {sentence}", file=sys.stderr, flush=True)  # noqa: T201 - what the commands are for
