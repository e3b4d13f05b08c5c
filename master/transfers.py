"""Who gets which data from whom: hosts hand data on to one another, a few at a time each; pure.

A host is known by its store, which all of its workers use. Who has got the whole of a datum becomes a source of
it, so a hundred hosts that want the same form a tree. Hosts come before the master, which serves whom no host can.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

from manyhands.master.transfer_commands import (
    Command,
    NobodyHas,
    PullToMaster,
    SendAdmit,
    SendHere,
    SendLost,
    SendSource,
)
from manyhands.master.transfer_limits import TransferLimits
from manyhands.master.transfer_sources import MASTER, Ask, Datum, Host, Whereabouts
from manyhands.wire.needs import Need

#: Seconds between looks for transfers that are slow.
_WATCH_INTERVAL = 1.0
_UNKNOWN = "nobody refers to it any more"


@dataclass(slots=True)
class _Transfer:
    """One that runs."""

    source: Host
    target: Host
    is_large: bool
    size: int
    #: When it is slow.
    slow_at: float = math.inf
    is_slow: bool = False


class TransferPlanner:
    """Told of every host, every datum and every transfer's end. Each method returns what is to be done, in order.

    secret: makes tickets. Workers are known by their numbers; each joins a store before it asks for anything.
    """

    def __init__(self, secret: Callable[[], bytes], limits: TransferLimits = TransferLimits()) -> None:  # noqa: B008 - frozen
        self._secret = secret
        self._limits = limits
        self._known = Whereabouts(limits.small_bytes)
        self._running: dict[Ask, _Transfer] = {}
        #: Of these the large ones that are not slow, as far as is known.
        self._watched: dict[Ask, _Transfer] = {}
        self._ticked_at = 0.0
        #: Who could not reach which store: until when that counts, in this order.
        self._avoided: dict[tuple[int, str], float] = {}
        #: Those whom a host has failed: the master serves them, if it has the datum.
        self._unlucky: set[Ask] = set()

    # ------------------------------------------------------------ hosts

    def joined(self, worker: int, store: str, address: str, certificate: bytes, ids: Iterable[bytes]) -> list[Command]:
        """A worker uses that store, in which these data lie, and serves others at `address`, if it does."""
        commands = self.left(worker)
        host = self._known.join(worker, store, address, certificate)
        for id in ids:
            commands += self.stored(store, id)
        self._fill(host, commands)  # if it is the first of its host that can be reached
        return commands

    def left(self, worker: int) -> list[Command]:
        """It is gone, with all that it asked for. With the last worker of a host go the data there."""
        commands: list[Command] = []
        known = self._known
        host = known.host_of.get(worker)
        if host is None:
            return commands
        for ask in list(host.asks):
            if ask.worker == worker:
                known.unqueue(ask)
        del host.workers[worker], known.host_of[worker]
        for ask in [ask for ask in self._running if ask.worker == worker]:
            self._end(ask, commands)
        self._unlucky = {ask for ask in self._unlucky if ask.worker != worker}
        self._avoided = {pair: until for pair, until in self._avoided.items() if pair[0] != worker}
        for id in sorted(host.ids):
            datum = known.data[id]
            if datum.pulled_from == worker:
                datum.pulled_from = None
            if not host.workers:
                known.displace(datum, host)
            self._seek_all(datum, commands)
        if not host.workers:
            del known.hosts[host.store]
        return commands

    # ------------------------------------------------------------ data

    def known(self, id: bytes, size: int) -> None:
        """There is, or will be, such a datum of so many bytes."""
        self._known.data.setdefault(id, Datum(id, size))

    def stored(self, store: str, id: bytes) -> list[Command]:
        """A store has the whole of it; or the master, if that is MASTER. A store that no worker uses is no source."""
        commands: list[Command] = []
        datum, host = self._known.data.get(id), self._known.hosts.get(store)
        if datum is None or host is None or store in datum.hosts:
            return commands
        self._known.place(datum, host)
        for ask in list(host.asks):
            if ask.need.id == id:
                self._answer_here(ask, commands)
        self._fill(host, commands)
        if MASTER not in datum.hosts:
            for ask in datum.asks:
                if not self._can_serve(host, ask):
                    self._seek(ask, commands)
        return commands

    def lacks(self, store: str, id: bytes) -> list[Command]:
        """A store, or the master, does not have it after all."""
        commands: list[Command] = []
        host = self._known.hosts.get(store)
        if host is not None and id in host.ids:
            datum = self._known.data[id]
            self._known.displace(datum, host)
            self._seek_all(datum, commands)
        return commands

    def dropped(self, id: bytes) -> list[Command]:
        """Nobody needs it any more."""
        return self.lost(id, _UNKNOWN)

    def lost(self, id: bytes, reason: str) -> list[Command]:
        """Nobody will have it any more: who waits is told, and it is forgotten."""
        commands: list[Command] = []
        datum = self._known.data.get(id)
        if datum is None:
            return commands
        for ask in datum.asks:
            self._known.unqueue(ask)
            self._unlucky.discard(ask)
            commands.append(SendLost(*ask, reason))
        self._known.remove(datum)
        return commands

    # ------------------------------------------------------------ transfers

    def locate(self, worker: int, need: Need) -> list[Command]:
        """Its store lacks it. The answer comes now or later: SendSource, SendHere or SendLost."""
        commands: list[Command] = []
        ask = Ask(worker, need)
        datum = self._known.data.get(need.id)
        if datum is None:
            self._unlucky.discard(ask)
            commands.append(SendLost(worker, need, _UNKNOWN))
        elif need.offset + need.length > datum.size:
            commands.append(
                SendLost(worker, need, f"it has {datum.size} bytes, and no byte {need.offset + need.length}")
            )
        elif ask not in self._running:
            self._known.queue(ask)
            self._seek(ask, commands)
        return commands

    def here(self, worker: int, need: Need) -> list[Command]:
        """Its store has it now."""
        commands: list[Command] = []
        ask = Ask(worker, need)
        host = self._known.host_of[worker]
        self._unlucky.discard(ask)
        for other in list(host.asks):
            if other.need == need:
                self._answer_here(other, commands)
        if need.is_whole:
            commands += self.stored(host.store, need.id)
        self._end(ask, commands)
        return commands

    def gave_up(self, worker: int, need: Need) -> list[Command]:
        """It has no room for it, or needs it no more, and is told no other source."""
        commands: list[Command] = []
        ask = Ask(worker, need)
        self._unlucky.discard(ask)
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
                commands += self.lacks(self._known.host_of[worker].store, need.id)
        elif transfer.source is self._known.master:
            commands += self.lacks(MASTER, need.id)
        else:
            pair = worker, transfer.source.store
            self._avoided.pop(pair, None)
            self._avoided[pair] = now + self._limits.avoid_timeout
            self._unlucky.add(ask)
            for other in self._known.wanted_of(transfer.source):
                if other.worker == worker:
                    self._seek(other, commands)
        self._end(ask, commands)
        return commands + self.locate(worker, need)

    # ------------------------------------------------------------ time

    def next_deadline(self) -> float | None:
        """When `tick` is due; maybe at once."""
        due = [self._ticked_at + _WATCH_INTERVAL] if self._watched else []
        return min([*due, *islice(self._avoided.values(), 1)], default=None)

    def tick(self, now: float) -> list[Command]:
        """Time has passed."""
        commands: list[Command] = []
        for (worker, store), until in list(self._avoided.items()):
            if until > now:
                break
            del self._avoided[worker, store]
            host = self._known.hosts.get(store)
            if host is not None:
                self._fill(host, commands)
        self._watch(now, commands)
        return commands

    def _watch(self, now: float, commands: list[Command]) -> None:
        self._ticked_at = now
        for ask, transfer in list(self._watched.items()):
            if transfer.slow_at == math.inf:  # its first time here
                transfer.slow_at = now + _WATCH_INTERVAL + transfer.size / self._limits.slow_bytes_per_second
            elif transfer.slow_at <= now:
                del self._watched[ask]
                transfer.is_slow = True
                lane = transfer.source.lanes[True]
                lane.running -= 1
                lane.slow += 1
                self._fill(transfer.source, commands)

    # ------------------------------------------------------------ who serves whom

    def _can_take(self, ask: Ask) -> bool:
        """Whether its host may begin now: it has a place free, and is not getting the same for another worker."""
        pulling = self._known.host_of[ask.worker].pulling
        return len(pulling) < self._limits.pulls and ask.need not in pulling

    def _can_serve(self, source: Host, ask: Ask) -> bool:
        """Whether it may, once it has a place free."""
        if source is self._known.master:
            return True
        if ask in self._unlucky and ask.need.id in self._known.master.ids:
            return False
        return source.server is not None and (ask.worker, source.store) not in self._avoided

    def _has_place(self, source: Host, is_large: bool) -> bool:
        lane = source.lanes[is_large]
        return lane.running < self._limits.running_max(is_large) and lane.slow < self._limits.slow

    def _seek_all(self, datum: Datum, commands: list[Command]) -> None:
        for ask in datum.asks:
            self._seek(ask, commands)

    def _seek(self, ask: Ask, commands: list[Command]) -> None:
        """For one who waits: a source with a place free, or what there has to be done for one."""
        datum = self._known.data[ask.need.id]
        if self._known.host_of[ask.worker].store in datum.hosts:
            self._answer_here(ask, commands)
            return
        if not self._can_take(ask):
            return
        is_large = self._known.is_large(ask.need)
        sources = [host for host in datum.hosts.values() if self._can_serve(host, ask)]
        free = [host for host in sources if self._has_place(host, is_large)]
        if free:
            master = self._known.master
            self._start(ask, min(free, key=lambda host: (host is master, host.lanes[is_large].running)), commands)
        elif not datum.hosts:
            commands.append(NobodyHas(datum.id))
        elif not sources and datum.pulled_from is None:
            holder = min(datum.hosts.values(), key=lambda host: host.lanes[True].running)
            datum.pulled_from = next(iter(holder.workers))
            commands.append(PullToMaster(datum.pulled_from, datum.id))

    def _fill(self, source: Host, commands: list[Command]) -> None:
        """Give away its free places to who waits for what it has."""
        for is_large, lane in enumerate(source.lanes):
            for id in list(lane.wanted):
                for ask in list(self._known.data[id].queues[is_large]):
                    if not self._has_place(source, bool(is_large)):
                        break
                    if self._can_take(ask) and self._can_serve(source, ask):
                        self._start(ask, source, commands)

    def _answer_here(self, ask: Ask, commands: list[Command]) -> None:
        self._known.unqueue(ask)
        self._unlucky.discard(ask)
        commands.append(SendHere(*ask))

    def _start(self, ask: Ask, source: Host, commands: list[Command]) -> None:
        worker, need = ask
        is_large = self._known.is_large(need)
        target = self._known.host_of[worker]
        self._known.unqueue(ask)
        size = self._known.data[need.id].size
        transfer = self._running[ask] = _Transfer(source, target, is_large, need.length or size)
        if is_large:
            self._watched[ask] = transfer
        source.lanes[is_large].running += 1
        target.pulling.add(need)
        server = source.server
        if server is None:  # the master
            commands.append(SendSource(worker, need, size))
            return
        address, certificate = source.workers[server]
        ticket = self._secret()
        commands.append(SendAdmit(server, ticket, need.id))
        commands.append(SendSource(worker, need, size, address, certificate, ticket))

    def _end(self, ask: Ask, commands: list[Command]) -> None:
        """Its transfer, if it has one, is over: others may have its places."""
        transfer = self._running.pop(ask, None)
        if transfer is None:
            return
        self._watched.pop(ask, None)
        lane = transfer.source.lanes[transfer.is_large]
        lane.slow -= transfer.is_slow
        lane.running -= not transfer.is_slow
        transfer.target.pulling.remove(ask.need)
        self._fill(transfer.source, commands)
        for other in list(transfer.target.asks):
            if len(transfer.target.pulling) >= self._limits.pulls:
                break
            self._seek(other, commands)

    # ------------------------------------------------------------ tests

    def check_invariants(self) -> None:
        """Assert that limits hold, and that nobody waits for what a source could give."""
        known = self._known
        known.check_invariants()
        for host in known.hosts.values():
            for is_large, lane in enumerate(host.lanes):
                running = [each for each in self._running.values() if each.source is host and each.is_large == is_large]
                assert lane.running + lane.slow == len(running)
                assert lane.slow == sum(each.is_slow for each in running)
                assert lane.running <= self._limits.running_max(bool(is_large))
            running_here = [ask.need for ask in self._running if ask.worker in host.workers]
            assert sorted(host.pulling) == sorted(running_here)
            assert len(running_here) <= self._limits.pulls
        waiting = {ask for datum in known.data.values() for ask in datum.asks}
        for ask in waiting:
            datum = known.data[ask.need.id]
            assert known.host_of[ask.worker].store not in datum.hosts, "it is there already"
            if self._can_take(ask):
                sources = [host for host in datum.hosts.values() if self._can_serve(host, ask)]
                assert not any(self._has_place(host, known.is_large(ask.need)) for host in sources), "kept waiting"
                assert sources or datum.pulled_from is not None or not datum.hosts, "forgotten"
        assert not waiting & self._running.keys()
        watched = {ask for ask, each in self._running.items() if each.is_large and not each.is_slow}
        assert self._watched.keys() == watched
        assert self._unlucky <= self._running.keys() | waiting
        for ask, transfer in self._running.items():
            assert known.host_of[ask.worker] is transfer.target is not transfer.source
        assert all(worker in known.host_of for worker, _ in self._avoided)
        assert list(self._avoided.values()) == sorted(self._avoided.values())
