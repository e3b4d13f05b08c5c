"""What the transfer planner knows of hosts and data: who has what, who waits for it, how busy each source is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from manyhands.wire.needs import Need

#: The master among the stores.
MASTER = ""


class Ask(NamedTuple):
    """Somebody needs something."""

    worker: int
    need: Need


@dataclass(slots=True)
class Lane:
    """Of one source, its transfers of one kind: large or small."""

    running: int = 0
    #: Ids of data that it has, and that somebody waits for.
    wanted: dict[bytes, None] = field(default_factory=dict)


@dataclass(slots=True)
class Host:
    """All workers that share a store; or the master."""

    store: str
    #: Address and certificate of each; no address: it serves nobody.
    workers: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    ids: set[bytes] = field(default_factory=set)
    #: What is being written into the store: once is enough.
    pulling: set[Need] = field(default_factory=set)
    #: By `is_large`.
    lanes: tuple[Lane, Lane] = field(default_factory=lambda: (Lane(), Lane()))

    @property
    def server(self) -> int | None:
        """Which of the workers serves others."""
        return next((worker for worker, (address, _) in self.workers.items() if address), None)


@dataclass(slots=True)
class Datum:
    """One that somebody holds."""

    size: int
    #: Who has the whole of it, by store.
    hosts: dict[str, Host] = field(default_factory=dict)
    #: Who waits for a source, in order of arrival; by `is_large`.
    queues: tuple[dict[Ask, None], dict[Ask, None]] = field(default_factory=lambda: ({}, {}))
    #: The worker from which the master is getting it.
    pulled_from: int | None = None

    @property
    def asks(self) -> list[Ask]:
        """All who wait."""
        return [ask for queue in self.queues for ask in queue]


class Transfer(NamedTuple):
    """One that runs."""

    source: Host
    target: Host
    is_large: bool
