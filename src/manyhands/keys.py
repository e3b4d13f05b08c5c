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
from dataclasses import dataclass, replace
from pathlib import Path

from manyhands.addresses import reachable_host
from manyhands.master.access import Access
from manyhands.master.access_store import AccessFault, AccessStore
from manyhands.master.door import Certificates, Keyring, Open, Tokens
from manyhands.wire import certificate
from manyhands.wire.access_file import AccessRecord
from manyhands.wire.certificate import ServerIdentity
from manyhands.wire.joining import OwnCertificates
from manyhands.wire.tokens import Token

log = logging.getLogger("manyhands.master")

#: Seconds between looks for tokens that `manyhands token` has changed.
WATCH_INTERVAL = 1.0


@dataclass(frozen=True)
class MasterKeys:
    """What a master needs of it.

    look: the tokens of the `store` as they are now; is_new: they were made just now; show_command: what prints them, if
    anything does.
    """

    identity: ServerIdentity | None
    keyring: Keyring
    store: AccessStore | None = None
    look: Callable[[], Access] = lambda: Access(())
    is_new: bool = False
    show_command: str = ""

    def written_tokens(self) -> dict[str, str]:
        """By role: the tokens that the first start made, as far as they are still there; for people and for joiners."""
        if self.identity is None:
            return {}
        pinned = certificate.fingerprint(self.identity.certificate_pem)
        return {
            entry.name: Token(pinned, entry.secret).written()
            for entry in self.look().entries
            if entry.name == entry.role
        }

    def note_address(self, host: str, port: int, address: str) -> AccessRecord | None:
        """The master serves there from now on: this user's processes shall find its tokens."""
        if self.store is None:
            return None
        record = AccessRecord(socket.gethostname(), (reachable_host(host),), port, os.getpid(), self.written_tokens())
        try:
            self.store.note_address(address)
            record.write()
        except OSError as error:  # whoever has a token can come all the same
            log.warning("processes of this user need a token, too: its access file cannot be written (%s)", error)
        return record

    async def watch(self, record: AccessRecord | None, on_change: Callable[[], None]) -> None:
        """As long as the master runs: take up what `manyhands token` changes, and what expires; `on_change` tells."""
        if self.store is None or record is None:
            return
        told = dict(record.tokens)
        while True:
            await asyncio.sleep(WATCH_INTERVAL)
            on_change()
            try:
                if told != (told := self.written_tokens()):
                    replace(record, tokens=told).write()
            except OSError as error:
                log.warning("processes of this user need a token, too: its access file cannot be written (%s)", error)


class _Looked:
    """A store's tokens, read when they have changed; as they were, while they cannot be read."""

    def __init__(self, store: AccessStore) -> None:
        self._store = store
        self._stamp = store.stamp()
        self._access = store.tokens()
        self._complaint = ""

    def __call__(self) -> Access:
        try:
            stamp = self._store.stamp()
            if stamp != self._stamp:
                self._access, self._stamp = self._store.tokens(), stamp
        except AccessFault as fault:
            if self._complaint != (complaint := str(fault)):  # once, not at every look
                self._complaint = complaint
                log.warning("what `manyhands token` changes is not taken up: %s", fault)
        return self._access


def no_keys() -> MasterKeys:
    """Everybody may do everything."""
    return MasterKeys(None, Open())


def own_certificates(files: OwnCertificates) -> MasterKeys:
    """Mutual TLS. Raises as `OwnCertificates.trust`."""
    trust = files.trust()
    assert trust.identity is not None
    identity = ServerIdentity(trust.identity.certificate_pem, trust.identity.key_pem, trust.root_pem)
    return MasterKeys(identity, Certificates(certificate.subject_of))


def token_keys(directory: Path, show_command: str = "") -> MasterKeys:
    """Those kept in `directory`, which are made if there are none. Raises AccessFault."""
    store = AccessStore(directory)
    is_new = store.create(certificate.make, time.time())
    own = store.identity()
    look = _Looked(store)
    identity = ServerIdentity(own.certificate_pem, own.key_pem)
    return MasterKeys(identity, Tokens(look), store, look, is_new, show_command)


class PassingDirectory:
    """Where a master without a place of its own keeps its keys: gone when it ends."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="manyhands-access-"))

    def remove(self) -> None:
        """The master has ended."""
        shutil.rmtree(self.path, ignore_errors=True)
