"""Who gets which data from whom: hosts hand data on to one another, a few at a time each; pure.

A host is known by its store, which all of its workers use. Who has got the whole of a datum becomes a source of
it, so a hundred hosts that want the same form a tree. Hosts come before the master, which serves whom no host can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from manyhands.master.transfer_commands import (
    Command,
    NobodyHas,
    PullToMaster,
    SendAdmit,
    SendHere,
    SendLost,
    SendSource,
)
from manyhands.master.transfer_sources import MASTER, Ask, Datum, Host, Transfer
from manyhands.wire.needs import Need


@dataclass(frozen=True, slots=True)
class TransferLimits:
    """How many transfers one source serves at a time. A large one takes all that a network carries."""

    large: int = 1
    small: int = 8
    #: What is no longer than this is small.
    small_bytes: int = 1 << 20
    #: Seconds for which who could not reach a source is not sent there again.
    avoid_timeout: float = 15.0

    def running_max(self, is_large: bool) -> int:
        """Of one kind, at one source."""
        return self.large if is_large else self.small


class TransferPlanner:
    """Told of every host, every datum and every transfer's end. Each method returns what is to be done, in order.

    secret: makes tickets. Workers are known by their numbers; each joins a store before it asks for anything.
    """

    def __init__(self, secret: Callable[[], bytes], limits: TransferLimits = TransferLimits()) -> None:
        self._secret = secret
        self._limits = limits
        self._master = Host(MASTER)
        self._hosts = {MASTER: self._master}
        self._host_of: dict[int, Host] = {}
        self._data: dict[bytes, Datum] = {}
        self._running: dict[Ask, Transfer] = {}
        #: Who could not reach which store: until when that counts, in this order.
        self._avoided: dict[tuple[int, str], float] = {}
        #: Those whom a host has failed: the master serves them, if it has the datum.
        self._unlucky: set[Ask] = set()

    # ------------------------------------------------------------ hosts

    def joined(self, worker: int, store: str, address: str, certificate: bytes, ids: Iterable[bytes]) -> list[Command]:
        """A worker uses that store, in which these data lie, and serves others at `address`, if it does."""
        commands = self.left(worker)
        host = self._hosts.setdefault(store, Host(store))
        host.workers[worker] = address, certificate
        self._host_of[worker] = host
        for id in ids:
            commands += self.stored(store, id)
        self._fill(host, commands)  # if it is the first of its host that can be reached
        return commands

    def left(self, worker: int) -> list[Command]:
        """It is gone, with all that it asked for. With the last worker of a host go the data there."""
        host = self._host_of.pop(worker, None)
        commands: list[Command] = []
        if host is None:
            return commands
        for datum in self._data.values():
            for ask in datum.asks:
                if ask.worker == worker:
                    self._unqueue(ask, datum)
        del host.workers[worker]
        for ask in [ask for ask in self._running if ask.worker == worker]:
            self._end(ask, commands)
        self._unlucky = {ask for ask in self._unlucky if ask.worker != worker}
        self._avoided = {pair: until for pair, until in self._avoided.items() if pair[0] != worker}
        for id in sorted(host.ids):
            datum = self._data[id]
            if datum.pulled_from == worker:
                datum.pulled_from = None
            if host.workers:
                self._seek_all(datum, commands)
            else:
                self._lack(host, id, commands)
        if not host.workers:
            del self._hosts[host.store]
        return commands

    # ------------------------------------------------------------ data

    def known(self, id: bytes, size: int) -> None:
        """There is, or will be, such a datum of so many bytes."""
        self._data.setdefault(id, Datum(size))

    def stored(self, store: str, id: bytes) -> list[Command]:
        """A store has the whole of it; or the master, if that is MASTER. A store that no worker uses is no source."""
        datum, host = self._data.get(id), self._hosts.get(store)
        commands: list[Command] = []
        if datum is None or host is None or store in datum.hosts:
            return commands
        datum.hosts[store] = host
        host.ids.add(id)
        if host is self._master:
            datum.pulled_from = None
        for is_large, queue in enumerate(datum.queues):
            if queue:
                host.lanes[is_large].wanted[id] = None
        for ask in datum.asks:
            if ask.worker in host.workers:
                self._answer_here(ask, datum, commands)
        self._fill(host, commands)
        if MASTER not in datum.hosts and datum.pulled_from is None:
            for ask in datum.asks:
                if not self._can_serve(host, ask, datum):
                    self._seek(ask, datum, commands)
        return commands

    def lacks(self, store: str, id: bytes) -> list[Command]:
        """A store, or the master, does not have it after all."""
        commands: list[Command] = []
        host = self._hosts.get(store)
        if host is not None and id in host.ids:
            self._lack(host, id, commands)
        return commands

    def lost(self, id: bytes, reason: str) -> list[Command]:
        """Nobody will have it any more: who waits is told, and it is forgotten."""
        asks = self._data[id].asks if id in self._data else []
        self.dropped(id)
        return [SendLost(ask.worker, ask.need, reason) for ask in asks]

    def dropped(self, id: bytes) -> None:
        """Nobody needs it any more."""
        datum = self._data.get(id)
        if datum is None:
            return
        for ask in datum.asks:
            self._unqueue(ask, datum)
            self._unlucky.discard(ask)
        for host in datum.hosts.values():
            host.ids.remove(id)
        del self._data[id]

    # ------------------------------------------------------------ transfers

    def locate(self, worker: int, need: Need) -> list[Command]:
        """Its store lacks it. The answer comes now or later: SendSource, SendHere or SendLost."""
        commands: list[Command] = []
        ask = Ask(worker, need)
        datum = self._data.get(need.id)
        if datum is None:
            self._unlucky.discard(ask)
            commands.append(SendLost(worker, need, "nobody refers to it any more"))
        elif ask not in self._running:
            self._queue(ask, datum)
            self._seek(ask, datum, commands)
        return commands

    def here(self, worker: int, need: Need) -> list[Command]:
        """Its store has it now."""
        commands: list[Command] = []
        ask = Ask(worker, need)
        host = self._host_of[worker]
        self._unlucky.discard(ask)
        datum = self._data.get(need.id)
        if datum is not None:
            for other in datum.asks:
                if other.need == need and other.worker in host.workers:
                    self._answer_here(other, datum, commands)
            if need.is_whole:
                commands += self.stored(host.store, need.id)
        self._end(ask, commands)
        return commands

    def source_failed(self, worker: int, need: Need, address: str, now: float) -> list[Command]:
        """It did not get it where it was sent to, and is told of another source without asking.

        address: of that source. None: it was the master, or its own store, which then does not have it.
        """
        commands: list[Command] = []
        ask = Ask(worker, need)
        transfer = self._running.get(ask)
        if transfer is None:
            if not address:
                commands += self.lacks(self._host_of[worker].store, need.id)
        elif transfer.source is self._master:
            commands += self.lacks(MASTER, need.id)
        else:
            pair = worker, transfer.source.store
            self._avoided.pop(pair, None)
            self._avoided[pair] = now + self._limits.avoid_timeout
            self._unlucky.add(ask)
            for other in self._wanted_of(transfer.source):
                if other.worker == worker:
                    self._seek(other, self._data[other.need.id], commands)
        self._end(ask, commands)
        return commands + self.locate(worker, need)

    # ------------------------------------------------------------ time

    def next_deadline(self) -> float | None:
        """When `tick` is due."""
        return next(iter(self._avoided.values()), None)

    def tick(self, now: float) -> list[Command]:
        """Time has passed."""
        commands: list[Command] = []
        for (worker, store), until in list(self._avoided.items()):
            if until > now:
                break
            del self._avoided[worker, store]
            if store in self._hosts:
                self._fill(self._hosts[store], commands)
        return commands

    # ------------------------------------------------------------ who waits

    def _is_large(self, need: Need, datum: Datum) -> bool:
        return (need.length or datum.size) > self._limits.small_bytes

    def _wanted_of(self, host: Host) -> list[Ask]:
        """All who wait for something that it has."""
        return [
            ask
            for is_large, lane in enumerate(host.lanes)
            for id in lane.wanted
            for ask in self._data[id].queues[is_large]
        ]

    def _queue(self, ask: Ask, datum: Datum) -> None:
        is_large = self._is_large(ask.need, datum)
        datum.queues[is_large][ask] = None
        for host in datum.hosts.values():
            host.lanes[is_large].wanted[ask.need.id] = None

    def _unqueue(self, ask: Ask, datum: Datum) -> None:
        is_large = self._is_large(ask.need, datum)
        queue = datum.queues[is_large]
        del queue[ask]
        if not queue:
            for host in datum.hosts.values():
                del host.lanes[is_large].wanted[ask.need.id]

    def _answer_here(self, ask: Ask, datum: Datum, commands: list[Command]) -> None:
        self._unqueue(ask, datum)
        self._unlucky.discard(ask)
        commands.append(SendHere(*ask))

    def _lack(self, host: Host, id: bytes, commands: list[Command]) -> None:
        datum = self._data[id]
        del datum.hosts[host.store]
        host.ids.remove(id)
        for lane in host.lanes:
            lane.wanted.pop(id, None)
        if datum.pulled_from in host.workers:
            datum.pulled_from = None
        self._seek_all(datum, commands)

    # ------------------------------------------------------------ who serves whom

    def _can_serve(self, host: Host, ask: Ask, datum: Datum) -> bool:
        """Whether it may, once it has a place free."""
        if host is self._master:
            return True
        if ask in self._unlucky and MASTER in datum.hosts:
            return False
        return host.server is not None and (ask.worker, host.store) not in self._avoided

    def _seek_all(self, datum: Datum, commands: list[Command]) -> None:
        for ask in datum.asks:
            self._seek(ask, datum, commands)

    def _seek(self, ask: Ask, datum: Datum, commands: list[Command]) -> None:
        """For one who waits: a source with a place free, or what there has to be done for one."""
        target = self._host_of[ask.worker]
        if target.store in datum.hosts:
            self._answer_here(ask, datum, commands)
            return
        if ask.need in target.pulling:
            return  # by another worker
        is_large = self._is_large(ask.need, datum)
        sources = [host for host in datum.hosts.values() if self._can_serve(host, ask, datum)]
        free = [host for host in sources if self._has_place(host, is_large)]
        if free:
            best = min(free, key=lambda host: (host is self._master, host.lanes[is_large].running))
            self._start(ask, datum, best, commands)
        elif not datum.hosts:
            commands.append(NobodyHas(ask.need.id))
        elif not sources and datum.pulled_from is None:
            holder = min(datum.hosts.values(), key=lambda host: host.lanes[True].running)
            datum.pulled_from = next(iter(holder.workers))
            commands.append(PullToMaster(datum.pulled_from, ask.need.id))

    def _fill(self, host: Host, commands: list[Command]) -> None:
        """Give away its free places to who waits for what it has."""
        for is_large, lane in enumerate(host.lanes):
            for id in list(lane.wanted):
                datum = self._data[id]
                for ask in list(datum.queues[is_large]):
                    if not self._has_place(host, bool(is_large)):
                        break
                    if ask.need not in self._host_of[ask.worker].pulling and self._can_serve(host, ask, datum):
                        self._start(ask, datum, host, commands)

    def _has_place(self, host: Host, is_large: bool) -> bool:
        return host.lanes[is_large].running < self._limits.running_max(is_large)

    def _start(self, ask: Ask, datum: Datum, source: Host, commands: list[Command]) -> None:
        is_large = self._is_large(ask.need, datum)
        target = self._host_of[ask.worker]
        self._unqueue(ask, datum)
        self._running[ask] = Transfer(source, target, is_large)
        source.lanes[is_large].running += 1
        target.pulling.add(ask.need)
        server = source.server
        if server is None:  # the master
            commands.append(SendSource(ask.worker, ask.need, datum.size))
            return
        address, certificate = source.workers[server]
        ticket = self._secret()
        commands.append(SendAdmit(server, ticket, ask.need.id))
        commands.append(SendSource(ask.worker, ask.need, datum.size, address, certificate, ticket))

    def _end(self, ask: Ask, commands: list[Command]) -> None:
        """Its transfer, if it has one, is over: others may have its place."""
        transfer = self._running.pop(ask, None)
        if transfer is None:
            return
        transfer.source.lanes[transfer.is_large].running -= 1
        transfer.target.pulling.remove(ask.need)
        self._fill(transfer.source, commands)
        datum = self._data.get(ask.need.id)
        if datum is not None:
            for other in datum.asks:
                if other.need == ask.need and other.worker in transfer.target.workers:
                    self._seek(other, datum, commands)

    # ------------------------------------------------------------ tests

    def check_invariants(self) -> None:
        """Assert that indices agree, limits hold, and nobody waits for what a source could give."""
        for store, host in self._hosts.items():
            assert host.store == store
            assert host is self._master or host.workers
            assert all(self._host_of[worker] is host for worker in host.workers)
            assert all(self._data[id].hosts[store] is host for id in host.ids)
            for is_large, lane in enumerate(host.lanes):
                running = [each for each in self._running.values() if each.source is host and each.is_large == is_large]
                assert lane.running == len(running) <= self._limits.running_max(bool(is_large))
                assert lane.wanted.keys() == {id for id in host.ids if self._data[id].queues[is_large]}
            assert host.pulling == {ask.need for ask in self._running if ask.worker in host.workers}
        for id, datum in self._data.items():
            assert all(id in host.ids and self._hosts[store] is host for store, host in datum.hosts.items())
            if datum.pulled_from is not None:
                assert MASTER not in datum.hosts
                assert self._host_of[datum.pulled_from].store in datum.hosts
            for is_large, queue in enumerate(datum.queues):
                for ask in queue:
                    target = self._host_of[ask.worker]
                    assert ask not in self._running
                    assert self._is_large(ask.need, datum) == is_large
                    assert target.store not in datum.hosts, "it is there already"
                    if ask.need not in target.pulling:
                        sources = [host for host in datum.hosts.values() if self._can_serve(host, ask, datum)]
                        assert not any(self._has_place(host, bool(is_large)) for host in sources), "kept waiting"
                        assert sources or datum.pulled_from is not None or not datum.hosts, "forgotten"
        for ask, transfer in self._running.items():
            assert self._host_of[ask.worker] is transfer.target is not transfer.source
        waiting = {ask for datum in self._data.values() for ask in datum.asks}
        assert self._unlucky <= self._running.keys() | waiting
        assert all(worker in self._host_of for worker, _ in self._avoided)
        assert list(self._avoided.values()) == sorted(self._avoided.values())
