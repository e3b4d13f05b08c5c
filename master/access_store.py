"""A master's certificate and tokens on disk: made at its first start, changed by `manyhands token`, for one user."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from manyhands.master.access import Access, Entry, Role
from manyhands.wire import private_file
from manyhands.wire.pinning import Identity
from manyhands.wire.tokens import new_secret

_VERSION = 1


class AccessFault(OSError):
    """What is in the folder cannot be used; the text says which file, and what to do."""


class AccessStore:
    """The folder `directory`, mode 0700, of files with mode 0600."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._certificate = directory / "certificate.pem"
        self._key = directory / "key.pem"
        self._tokens = directory / "tokens.json"
        self._address = directory / "address"

    @property
    def exists(self) -> bool:
        """Whether a master has made it."""
        return self._tokens.exists()

    def create(self, make_certificate: Callable[[], tuple[bytes, bytes]], now: float) -> bool:
        """Make what is not there; whether that was needed. Each role but admin gets a token of its name.

        Raises AccessFault.
        """
        try:
            return self._create(make_certificate, now)
        except OSError as error:
            raise AccessFault(
                f"cannot keep a certificate and tokens in {self.directory}: {error.strerror or error}; name another "
                "directory with --data-dir"
            ) from error

    def _create(self, make_certificate: Callable[[], tuple[bytes, bytes]], now: float) -> bool:
        private_file.make_folder(self.directory)
        with self._locked():
            if self.exists:
                return False
            certificate, key = make_certificate()
            private_file.write(self._certificate, certificate)
            private_file.write(self._key, key)
            roles = (Role.WORKER, Role.CLIENT, Role.READ_ONLY)
            self._write([Entry(str(role), role, new_secret(), now) for role in roles])  # the last: it is complete
        return True

    def identity(self) -> Identity:
        """Certificate and key. Raises AccessFault."""
        return Identity(self._read(self._certificate), self._read(self._key))

    def certificate(self) -> bytes:
        """PEM. Raises AccessFault."""
        return self._read(self._certificate)

    def tokens(self) -> Access:
        """All tokens. Raises AccessFault."""
        try:
            stored = json.loads(self._read(self._tokens))
            if stored["version"] != _VERSION:
                raise AccessFault(f"{self._tokens} was written by another version of manyhands")
            return Access([_entry(each) for each in stored["tokens"]])
        except (ValueError, KeyError, TypeError) as error:
            raise AccessFault(
                f"{self._tokens} is damaged ({type(error).__name__}): restore it, or remove the folder "
                f"{self.directory} for a new certificate and new tokens"
            ) from None  # the cause may quote the file

    @contextlib.contextmanager
    def changing(self) -> Iterator[list[Entry]]:
        """A list of all entries; what it holds at the end is written, for the running master to take up."""
        with self._locked():
            entries = list(self.tokens().entries)
            yield entries
            self._write(entries)

    def stamp(self) -> tuple[int, int]:
        """Changes whenever the tokens are written. Raises AccessFault."""
        try:
            found = self._tokens.stat()
        except OSError as error:
            raise AccessFault(f"{self._tokens} cannot be read: {error.strerror}") from error
        return found.st_ino, found.st_mtime_ns

    def note_address(self, address: str) -> None:
        """Where the master serves, for the lines that `manyhands token` prints. Raises OSError."""
        if address != self.noted_address():
            private_file.write(self._address, address.encode())

    def noted_address(self) -> str:
        """Where it served last."""
        return self._read(self._address).decode() if self._address.exists() else "HOST:PORT"

    def _write(self, entries: list[Entry]) -> None:
        tokens = [asdict(entry) for entry in entries]
        private_file.write(self._tokens, json.dumps({"version": _VERSION, "tokens": tokens}, indent=1).encode())

    def _read(self, path: Path) -> bytes:
        try:
            return private_file.read(path)
        except OSError as error:
            raise AccessFault(f"the master's access cannot be read: {error}") from error

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time: two masters may start together, and `manyhands token` may run beside."""
        lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def _entry(stored: dict[str, Any]) -> Entry:
    return Entry(
        name=str(stored["name"]),
        role=Role(stored["role"]),
        secret=str(stored["secret"]),
        created_at=float(stored["created_at"]),
        expires_at=None if stored["expires_at"] is None else float(stored["expires_at"]),
        previous=str(stored["previous"]),
    )
