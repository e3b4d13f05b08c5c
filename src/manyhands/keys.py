"""How a master proves itself, and whom it recognizes: by tokens, by certificates of its user's, or not at all."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from manyhands.addresses import reachable_host
from manyhands.master import certificate
from manyhands.master.access_store import AccessFault, AccessStore
from manyhands.master.certificate import ServerIdentity
from manyhands.master.door import Certificates, Keyring, Open, Tokens
from manyhands.wire.access_file import AccessRecord
from manyhands.wire.joining import OwnCertificates
from manyhands.wire.tokens import Token

log = logging.getLogger("manyhands.master")

#: Seconds between looks for tokens that `manyhands token` has changed.
WATCH_INTERVAL = 1.0


@dataclass(frozen=True)
class MasterKeys:
    """What a master needs of it.

    is_new: the tokens were made just now; show_command: what prints them, if anything does.
    """

    identity: ServerIdentity | None
    keyring: Keyring
    store: AccessStore | None = None
    is_new: bool = False
    show_command: str = ""

    def written_tokens(self) -> dict[str, str]:
        """By role: the tokens that the first start made, as far as they are still there; for people and for joiners."""
        if self.store is None:
            return {}
        pinned = certificate.fingerprint(self.store.certificate())
        return {
            entry.name: Token(pinned, entry.secret).written()
            for entry in self.store.tokens().entries
            if entry.name == entry.role
        }

    def note_address(self, host: str, port: int, address: str) -> AccessRecord | None:
        """The master serves there from now on: this user's processes shall find its tokens."""
        if self.store is None:
            return None
        self.store.note_address(address)
        record = AccessRecord(socket.gethostname(), (reachable_host(host),), port, os.getpid(), self.written_tokens())
        record.write()
        return record

    async def watch(self, record: AccessRecord | None, on_change: Callable[[], None]) -> None:
        """As long as the master runs: take up what `manyhands token` changes, and what expires; `on_change` tells."""
        store, keyring = self.store, self.keyring
        if store is None or record is None or not isinstance(keyring, Tokens):
            return
        stamp = store.stamp()
        while True:
            await asyncio.sleep(WATCH_INTERVAL)
            try:
                seen = store.stamp()
                if seen != stamp:
                    keyring.access = store.tokens()
                    record = AccessRecord(record.host, record.addresses, record.port, record.pid, self.written_tokens())
                    record.write()
                    stamp = seen
            except AccessFault as fault:
                log.error("the tokens stay as they were: %s", fault)  # noqa: TRY400 - no trace could help
            on_change()


def no_keys() -> MasterKeys:
    """Everybody may do everything."""
    return MasterKeys(None, Open())


def own_certificates(files: OwnCertificates) -> MasterKeys:
    """Mutual TLS. Raises OSError if a file cannot be read."""
    identity = ServerIdentity(files.certificate.read_bytes(), files.key.read_bytes(), files.authority.read_bytes())
    return MasterKeys(identity, Certificates(certificate.subject_of))


def token_keys(directory: Path, show_command: str = "") -> MasterKeys:
    """Those kept in `directory`, which are made if there are none. Raises AccessFault."""
    store = AccessStore(directory)
    is_new = store.create(certificate.make, time.time())
    identity = store.identity()
    return MasterKeys(
        ServerIdentity(identity.certificate_pem, identity.key_pem), Tokens(store.tokens()), store, is_new, show_command
    )


class PassingDirectory:
    """Where a master without a place of its own keeps its keys: gone when it ends."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="manyhands-access-"))

    def remove(self) -> None:
        """The master has ended."""
        shutil.rmtree(self.path, ignore_errors=True)
