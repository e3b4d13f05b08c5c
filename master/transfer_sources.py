"""What the transfer planner knows of hosts and data: who has what, and who waits for it; pure."""

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
    #: Transfers beside those, which are so slow that they leave its network to others.
    slow: int = 0
    #: Ids of data that it has, and that somebody waits for.
    wanted: dict[bytes, None] = field(default_factory=dict)


@dataclass(slots=True)
class Host:
    """All workers that share a store; or the master."""

    store: str
    #: Address and certificate of each; no address: it serves nobody.
    workers: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    ids: set[bytes] = field(default_factory=set)
    #: What its workers wait for, in order of arrival.
    asks: dict[Ask, None] = field(default_factory=dict)
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

    id: bytes
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


class Whereabouts:
    """Hosts by store and by worker, data by id."""

    def __init__(self, small_bytes: int) -> None:
        """small_bytes: what is no longer than this is small."""
        self._small_bytes = small_bytes
        self.master = Host(MASTER)
        self.hosts = {MASTER: self.master}
        self.host_of: dict[int, Host] = {}
        self.data: dict[bytes, Datum] = {}

    def is_large(self, need: Need) -> bool:
        """Of which kind a transfer of it is."""
        return (need.length or self.data[need.id].size) > self._small_bytes

    def join(self, worker: int, store: str, address: str, certificate: bytes) -> Host:
        """A worker uses that store."""
        host = self.hosts.setdefault(store, Host(store))
        host.workers[worker] = address, certificate
        self.host_of[worker] = host
        return host

    def place(self, datum: Datum, host: Host) -> None:
        """It has the datum."""
        datum.hosts[host.store] = host
        host.ids.add(datum.id)
        if host is self.master:
            datum.pulled_from = None
        for lane, queue in zip(host.lanes, datum.queues, strict=True):
            if queue:
                lane.wanted[datum.id] = None

    def displace(self, datum: Datum, host: Host) -> None:
        """It does not have it any more."""
        del datum.hosts[host.store]
        host.ids.remove(datum.id)
        for lane in host.lanes:
            lane.wanted.pop(datum.id, None)
        if datum.pulled_from in host.workers:
            datum.pulled_from = None

    def remove(self, datum: Datum) -> None:
        """Forget a datum that nobody waits for."""
        for host in datum.hosts.values():
            host.ids.remove(datum.id)
        del self.data[datum.id]

    def queue(self, ask: Ask) -> None:
        """Somebody waits; nothing if he did."""
        datum = self.data[ask.need.id]
        is_large = self.is_large(ask.need)
        datum.queues[is_large][ask] = None
        self.host_of[ask.worker].asks[ask] = None
        for host in datum.hosts.values():
            host.lanes[is_large].wanted[datum.id] = None

    def unqueue(self, ask: Ask) -> None:
        """He waits no more."""
        datum = self.data[ask.need.id]
        is_large = self.is_large(ask.need)
        queue = datum.queues[is_large]
        del queue[ask], self.host_of[ask.worker].asks[ask]
        if not queue:
            for host in datum.hosts.values():
                del host.lanes[is_large].wanted[datum.id]

    def wanted_of(self, host: Host) -> list[Ask]:
        """All who wait for something that it has."""
        return [
            ask
            for is_large, lane in enumerate(host.lanes)
            for id in lane.wanted
            for ask in self.data[id].queues[is_large]
        ]

    def check_invariants(self) -> None:
        """Assert that indices agree."""
        for store, host in self.hosts.items():
            assert host.store == store
            assert host is self.master or host.workers
            assert all(self.host_of[worker] is host for worker in host.workers)
            assert all(self.data[id].hosts[store] is host for id in host.ids)
            for is_large, lane in enumerate(host.lanes):
                assert lane.wanted.keys() == {id for id in host.ids if self.data[id].queues[is_large]}
        for id, datum in self.data.items():
            assert datum.id == id
            assert all(id in host.ids and self.hosts[store] is host for store, host in datum.hosts.items())
            if datum.pulled_from is not None:
                assert MASTER not in datum.hosts
                assert self.host_of[datum.pulled_from].store in datum.hosts
            for is_large, queue in enumerate(datum.queues):
                assert all(ask.need.id == id and self.is_large(ask.need) == is_large for ask in queue)
        asks = [ask for datum in self.data.values() for ask in datum.asks]
        assert sorted(asks) == sorted(ask for host in self.hosts.values() for ask in host.asks)
        assert all(ask in self.host_of[ask.worker].asks for ask in asks)
