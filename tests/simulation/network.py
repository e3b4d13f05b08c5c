"""The simulated network: links that delay, repeat, reorder and lose frames, and break; everything is serialised."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.links import Inbox, Link, LinkLost, OpenLink


@dataclass(frozen=True, slots=True)
class LinkFaults:
    """What happens to frames; times in seconds, the rest are probabilities for each frame."""

    delay: float = 0.001
    jitter: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    #: A lost frame breaks the link some time later: a connection may fail, but not silently skip.
    loss: float = 0.0


class LinkEnd:
    """One end of a link; see `manyhands.wire.links.Link`."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._inbox = Inbox()
        self.read = self._inbox.get
        self.read_all = self._inbox.get_all
        self.reason = "the connection was closed"
        self.other: LinkEnd
        self.closed = False
        self._last_arrival = 0.0

    async def write(self, frame: pb.Frame) -> None:
        if self.closed:
            raise LinkLost(self.reason)
        self._pipe.carry(self, frame)

    async def close(self) -> None:
        if not self.closed:
            self.end(self.reason)
            self._pipe.hang_up(self)

    # ------------------------------------------------------------ for the pipe

    def arrive(self, data: bytes) -> None:
        if not self.closed:
            self._inbox.put(pb.Frame.FromString(data))

    def end(self, reason: str) -> None:
        """This end learns that the connection is gone."""
        if not self.closed:
            self.closed = True
            self.reason = reason
            self._inbox.end()

    def arrival(self, at: float, *, in_order: bool) -> float:
        """When something that would arrive at `at` arrives, as later things must not overtake it."""
        if in_order:
            at = self._last_arrival = max(self._last_arrival, at)
        return at


class Pipe:
    """One connection: both ends, and what becomes of the frames between them."""

    def __init__(self, faults: LinkFaults, rng: Random, tell: Callable[..., None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._faults = faults
        self._rng = rng
        self._tell = tell
        self.dialer, self.acceptor = LinkEnd(self), LinkEnd(self)
        self.dialer.other, self.acceptor.other = self.acceptor, self.dialer
        #: Frames vanish and nobody is told.
        self.mute = False
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
        at = self._loop.time() + faults.delay
        if faults.jitter:
            at += rng.uniform(0.0, faults.jitter)
        # Nothing overtakes a handshake, even where frames overtake each other.
        overtakes = not handshake and bool(faults.reorder) and rng.random() < faults.reorder
        if overtakes:
            at = max(at + rng.uniform(0.0, 4 * faults.delay), receiver.arrival(0.0, in_order=True))
        at = receiver.arrival(at, in_order=not overtakes)
        self._loop.call_at(at, self._arrive, receiver, data)
        if not handshake and faults.duplicate and rng.random() < faults.duplicate:
            self._loop.call_at(at + rng.uniform(0.0, 4 * faults.delay), self._arrive, receiver, data)

    def _arrive(self, receiver: LinkEnd, data: bytes) -> None:
        if not self._broken:
            receiver.arrive(data)

    def break_down(self, reason: str) -> None:
        """The connection fails: what is under way is lost, and each end notices in its own time."""
        if not self._broken:
            self._broken = True
            for end in (self.dialer, self.acceptor):
                self._loop.call_later(self._rng.uniform(0.0, 0.05), end.end, reason)

    def hang_up(self, closer: LinkEnd) -> None:
        """One end closes: the other hears of it after everything that was written before."""
        other = closer.other
        at = other.arrival(self._loop.time() + self._faults.delay, in_order=True)
        if not self.mute:
            self._loop.call_at(at, other.end, "the other side closed the connection")


class Network:
    """Who can reach the master, and how well. Links are known by who dialled them."""

    def __init__(
        self, faults: LinkFaults, rng: Random, accept: Callable[[Link], object], tell: Callable[..., None]
    ) -> None:
        self._faults = faults
        self._rng = rng
        self._accept = accept
        self._tell = tell
        self._pipes: dict[str, Pipe] = {}
        self._unreachable: dict[str, float] = {}  # until when

    def opener(self, name: str) -> OpenLink:
        """How `name` dials."""

        async def open_link() -> Link:
            await asyncio.sleep(self._faults.delay)
            if asyncio.get_running_loop().time() < self._unreachable.get(name, 0.0):
                raise LinkLost("no route to the master")
            pipe = self._pipes[name] = Pipe(self._faults, self._rng, self._tell)
            self._accept(pipe.acceptor)
            return pipe.dialer

        return open_link

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

    def mend(self) -> None:
        """From now on everybody reaches the master; links gone mute are broken, so that they are made anew."""
        self._unreachable.clear()
        for pipe in self._pipes.values():
            if pipe.mute:
                pipe.break_down("the connection broke")
