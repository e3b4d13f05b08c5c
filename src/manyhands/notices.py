"""What daemons say on their terminals: how to join a master, and how a worker and its master fare."""

from __future__ import annotations

import sys
from pathlib import Path

from manyhands._version import __version__
from manyhands.addresses import is_loopback
from manyhands.keys import MasterKeys
from manyhands.master.access import Role
from manyhands.master.door import Certificates
from manyhands.protos import manyhands_pb2 as pb
from manyhands.token_command import command_for
from manyhands.wire.sizes import shown


def counted(number: int, noun: str) -> str:
    """As people say it: 1 slot, 2 slots."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def print_how_to_join(host: str, address: str, keys: MasterKeys, data_dir: Path | None = None) -> None:
    """On stdout: the commands for workers and clients, to be copied; `data_dir`: where the journal is.

    Tokens are shown just once, at the start that made them.
    """
    lines = [
        f"manyhands {__version__}: the master serves at {address}",
        f"  start a worker:      manyhands worker {address}",
        f'  use it from Python:  Client("{address}")',
        f"  look at it:          manyhands status {address}",
    ]
    if data_dir is not None:
        lines.append(f"  its journal:         {data_dir}")
    if isinstance(keys.keyring, Certificates):
        lines.append("  who joins it needs:  --tls-cert, --tls-key, --tls-ca (Client: tls_cert=, tls_key=, tls_ca=)")
    elif keys.store is not None:
        lines.append("On this machine you need no token. Elsewhere, or as another user, put it before the command:")
        if keys.is_new:
            lines += [
                f"  MANYHANDS_TOKEN={written} {command_for(Role(role), address)}"
                for role, written in keys.written_tokens().items()
            ]
        if keys.show_command:
            again = "They are shown this once; to see them again: " if keys.is_new else "  to see it: "
            lines.append(f"{again}{keys.show_command}")
    else:
        who = "everybody on this machine" if is_loopback(host) else f"everybody who reaches {address}"
        lines.append(
            f"warning: {who} can run code as the workers' user: there are no tokens and there is no encryption"
        )
    if is_loopback(host):
        lines.append("For other machines, start it with --host 0.0.0.0")
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
