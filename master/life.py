"""One life of a master: its sessions and its engine, on top of what earlier lives wrote down; no transport."""

from __future__ import annotations

from random import Random

from manyhands.master.config import MasterConfig
from manyhands.master.door import Door
from manyhands.master.engine import Engine
from manyhands.master.journal import Journal
from manyhands.master.journal_schema import Kept
from manyhands.master.sessions import Sessions
from manyhands.wire.host_store import HostStore

#: Jobs and leases that one life of a master can number.
_LIFE_BITS = 36


class Life:
    """Begin it inside a running loop. Without a journal there is no other life than this."""

    def __init__(
        self,
        config: MasterConfig,
        rng: Random,
        epoch: int,
        cluster: bytes,
        journal: Journal | None = None,
        door: Door | None = None,
        store: HostStore | None = None,
    ) -> None:
        self.journal = journal
        self.engine = Engine(config, rng, journal, 1 if journal is None else epoch << _LIFE_BITS, store)
        self.sessions = Sessions(config, epoch, cluster, journal, door, store.identity if store is not None else "")
        self.sessions.events = self.engine

    def restore(self, kept: Kept) -> None:
        """Go on where the last life left off; before anybody connects."""
        assert self.journal is not None
        self.journal.resume(kept)
        self.engine.restore(kept, {client.session: self.sessions.restore(client) for client in kept.clients})
