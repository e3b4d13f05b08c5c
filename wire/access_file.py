"""The access file: gives processes of the master's user its tokens, by the address that they were told to join."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from manyhands.wire import private_file

#: (family, socket address), as getaddrinfo gives them.
Where = tuple[int, tuple[Any, ...]]


@dataclass(frozen=True)
class AccessRecord:
    """One master: the machine that it runs on, what else it is reached at, and a written token for each role."""

    host: str
    addresses: tuple[str, ...]
    port: int
    pid: int
    tokens: Mapping[str, str]

    def __repr__(self) -> str:
        return f"AccessRecord({self.host!r}, {self.port})"  # no tokens

    @property
    def path(self) -> Path:
        """Where it is kept: on a home directory that several machines share, each has its own. Raises OSError."""
        return _directory() / f"{self.host}-{self.port}.json"

    def write(self) -> None:
        """Let this user's processes find it. Raises OSError."""
        private_file.make_folder(self.path.parent)
        private_file.write(self.path, json.dumps(asdict(self)).encode())

    def remove(self) -> None:
        """The master ends; unless another has taken its place meanwhile."""
        with contextlib.suppress(OSError):  # what is left is overwritten, or misleads nobody: its tokens are known
            found = _read(self.path)
            if found is not None and found.pid == self.pid:
                self.path.unlink(missing_ok=True)


def find(port: int, places: Iterable[Where], is_this_machine: Callable[[int, tuple[Any, ...]], bool]) -> str | None:
    """The record, by its path, of this user's master at one of `places`, if there is one."""
    places = list(places)
    try:
        directory = _directory()
    except OSError:  # then nobody has left anything for us
        return None
    for path in sorted(directory.glob(f"*-{port}.json"), key=_written_at, reverse=True):
        record = _read(path)
        if record is None:
            continue
        is_ours = record.host == socket.gethostname()
        if any(
            where[0] in record.addresses or (is_ours and is_this_machine(family, where)) for family, where in places
        ):
            return str(path)
    return None


def read_token(path: str, role: str) -> str:
    """The written token for a role, as it is now; empty if there is none any more."""
    record = _read(Path(path))
    return record.tokens.get(role, "") if record is not None else ""


def _read(path: Path) -> AccessRecord | None:
    try:
        stored = json.loads(private_file.read(path))
        stored["addresses"] = tuple(stored["addresses"])
        return AccessRecord(**stored)
    except (OSError, ValueError, KeyError, TypeError):  # gone meanwhile, or not ours: there is no such help then
        return None


def _written_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _directory() -> Path:
    """See the XDG Base Directory Specification. Raises OSError for a user without a home."""
    base = os.environ.get("XDG_STATE_HOME", "")
    try:
        return (Path(base) if base else Path.home() / ".local" / "state") / "manyhands"
    except RuntimeError as error:
        raise FileNotFoundError("this user has no home directory, and XDG_STATE_HOME names no other") from error
