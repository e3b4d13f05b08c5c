"""The simulated network: links that delay, repeat, reorder and lose frames, and break; everything is serialised."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass
from random import Random
from typing import Protocol

from tests.simulation.party import Party, is_input

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.links import Inbox, Link, LinkLost, OpenLink


@dataclass(frozen=True, slots=True)
class LinkFaults:
    """What happens to frames; times in seconds, the rest are probabilities for each frame."""

    delay: float = 0.001
    jitter: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    #: Bytes a second each way; 0: any number.
    bandwidth: float = 0.0
    #: A lost frame breaks the link some time later: a connection may fail, but not silently skip.
    loss: float = 0.0


class LinkEnd:
    """One end of a link; see `manyhands.wire.links.Link`. What arrives is dealt with in its owner's context."""

    def __init__(self, pipe: Pipe, context: Context) -> None:
        self._pipe = pipe
        self.context = context
        self._inbox = Inbox()
        self.read = self._inbox.get
        self.read_all = self._inbox.get_all
        self.reason = "the connection was closed"
        self.address, self.certificate = "", None
        self.other: LinkEnd
        self.closed = False
        self._last_arrival = 0.0
        #: When the link to here has carried what was written so far.
        self.free_at = 0.0

    async def write(self, frame: pb.Frame) -> None:
        if self.closed:
            raise LinkLost(self.reason)
        self._pipe.carry(self, frame)

    def refuse(self, refusal: pb.Refusal) -> None:
        if not self.closed:
            self._pipe.carry(self, pb.Frame(refusal=refusal))

    async def close(self) -> None:
        if not self.closed:
            self.end(self.reason)
            self._pipe.hang_up(self)

    # ------------------------------------------------------------ for the pipe

    @is_input
    def arrive(self, data: bytes) -> None:
        if not self.closed:
            self._inbox.put(pb.Frame.FromString(data))

    @is_input
    def end(self, reason: str) -> None:
        """This end learns that the connection is gone."""
        if not self.closed:
            self.closed = True
            self.reason = reason
            self._inbox.end()

    def arrival(self, at: float, *, in_order: bool) -> float:
        """When something that would arrive at `at` arrives, as later things must not overtake it."""
        if in_order:  # strictly: a loop need not keep the order of timers for the same time
            at = self._last_arrival = max(math.nextafter(self._last_arrival, math.inf), at)
        return at


class Pipe:
    """One connection: both ends, and what becomes of the frames between them."""

    def __init__(self, faults: LinkFaults, rng: Random, tell: Callable[..., None], acceptor: Party) -> None:
        self._loop = asyncio.get_running_loop()
        self._faults = faults
        self._rng = rng
        self._tell = tell
        self.dialer, self.acceptor = LinkEnd(self, copy_context()), LinkEnd(self, acceptor.context)
        self.dialer.other, self.acceptor.other = self.acceptor, self.dialer
        #: Frames vanish and nobody is told.
        self.mute = False
        #: Nothing arrives before.
        self.stalled_until = 0.0
        self._broken = False

    def carry(self, sender: LinkEnd, frame: pb.Frame) -> None:
        faults, rng, receiver = self._faults, self._rng, sender.other
        if self.mute or self._broken:
            return
        handshake = frame.WhichOneof("handshake") is not None
        data = frame.SerializeToString()
        if not handshake and faults.loss and rng.random() < faults.loss:
            self._tell("a frame is lost: %s", frame.sequence)
            self._loop.call_later(rng.uniform(0.0, 0.05), self.break_down, "a frame was lost")
            return
        at = max(self._loop.time(), self.stalled_until)
        if faults.bandwidth:
            at = receiver.free_at = max(at, receiver.free_at) + len(data) / faults.bandwidth
        at += faults.delay
        if faults.jitter:
            at += rng.uniform(0.0, faults.jitter)
        # Nothing overtakes a handshake, even where frames overtake each other.
        overtakes = not handshake and bool(faults.reorder) and rng.random() < faults.reorder
        if overtakes:
            at = max(at + rng.uniform(0.0, 4 * faults.delay), receiver.arrival(0.0, in_order=True))
        at = receiver.arrival(at, in_order=not overtakes)
        self._loop.call_at(at, self._arrive, receiver, data, context=receiver.context)
        if not handshake and faults.duplicate and rng.random() < faults.duplicate:
            at += rng.uniform(0.0, 4 * faults.delay)
            self._loop.call_at(at, self._arrive, receiver, data, context=receiver.context)

    @is_input
    def _arrive(self, receiver: LinkEnd, data: bytes) -> None:
        if not self._broken:
            receiver.arrive(data)

    def break_down(self, reason: str) -> None:
        """The connection fails: what is under way is lost, and each end notices in its own time."""
        if not self._broken:
            self._broken = True
            for end in (self.dialer, self.acceptor):
                self._loop.call_later(self._rng.uniform(0.0, 0.05), end.end, reason, context=end.context)

    def hang_up(self, closer: LinkEnd) -> None:
        """One end closes: the other hears of it after everything that was written before."""
        other = closer.other
        at = max(self._loop.time(), self.stalled_until, other.free_at) + self._faults.delay
        at = other.arrival(at, in_order=True)
        if not self.mute:
            self._loop.call_at(at, other.end, "the other side closed the connection", context=other.context)


class Listener(Protocol):
    """Who is dialled: the master."""

    @property
    def party(self) -> Party | None:
        """Its process, if there is one."""
        ...

    def accept(self, link: Link) -> None:
        """A connection has come."""
        ...


class Network:
    """Who can reach the master, and how well. Links are known by who dialled them."""

    def __init__(self, faults: LinkFaults, rng: Random, tell: Callable[..., None]) -> None:
        self._faults = faults
        self._rng = rng
        self._tell = tell
        self._pipes: dict[str, Pipe] = {}
        self._unreachable: dict[str, float] = {}  # until when
        self.listener: Listener
        #: Of all dialers' delays.
        self.jitter: Random

    def opener(self, name: str) -> OpenLink:
        """How `name` dials."""

        async def open_link() -> Link:
            await asyncio.sleep(self._faults.delay)
            if asyncio.get_running_loop().time() < self._unreachable.get(name, 0.0):
                raise LinkLost("no route to the master")
            acceptor = self.listener.party
            if acceptor is None:
                raise LinkLost("connection refused")
            pipe = self._pipes[name] = Pipe(self._faults, self._rng, self._tell, acceptor)
            asyncio.get_running_loop().call_soon(self._accept, pipe, context=acceptor.context)
            return pipe.dialer

        return open_link

    @is_input
    def _accept(self, pipe: Pipe) -> None:
        self.listener.accept(pipe.acceptor)

    def process_ended(self, name: str) -> None:
        """Its system closes what it left open, most often in good order."""
        pipe = self._pipes.pop(name, None)
        if pipe is not None:
            pipe.dialer.closed = True
            if self._rng.random() < 0.7:
                pipe.hang_up(pipe.dialer)
            else:
                pipe.break_down("connection reset")

    def host_ended(self, name: str) -> None:
        """Nobody is told that there is nobody any more."""
        pipe = self._pipes.pop(name, None)
        if pipe is not None:
            pipe.dialer.closed = pipe.mute = True

    def listener_ended(self, *, silently: bool) -> None:
        """The same for the master, or its host."""
        for pipe in self._pipes.values():
            pipe.acceptor.closed = True
            if silently:
                pipe.mute = True
            else:
                pipe.break_down("connection reset")

    def listener_begins(self) -> None:
        """Its host knows nothing of the connections that another life of it had, and says so."""
        for pipe in self._pipes.values():
            if pipe.acceptor.closed:
                pipe.break_down("connection reset")

    def break_link(self, name: str) -> None:
        if name in self._pipes:
            self._pipes[name].break_down("the connection broke")

    def partition(self, name: str, seconds: float) -> None:
        """Break the link; it cannot be made again for so long."""
        self._unreachable[name] = asyncio.get_running_loop().time() + seconds
        self.break_link(name)

    def mute(self, name: str) -> None:
        """The link lives and carries nothing, until both sides give it up."""
        if name in self._pipes:
            self._pipes[name].mute = True

    def stall(self, name: str, seconds: float) -> None:
        """The link lives and carries nothing for so long, then what was written meanwhile."""
        if name in self._pipes:
            self._pipes[name].stalled_until = asyncio.get_running_loop().time() + seconds

    def mend(self) -> None:
        """From now on everybody reaches the master; links gone mute are broken, so that they are made anew."""
        self._unreachable.clear()
        for pipe in self._pipes.values():
            if pipe.mute:
                pipe.break_down("the connection broke")
