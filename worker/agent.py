"""The agent's shell: carries the core's commands to slots and master, and their words to the core."""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, assert_never

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.handshake import make_hello
from manyhands.wire.needs import Need
from manyhands.wire.session import Flow
from manyhands.worker import slot_frames as frames
from manyhands.worker.commands import (
    Command,
    Complain,
    DropData,
    DropUnreported,
    Feed,
    Interrupt,
    Kill,
    Measure,
    Send,
    SendCut,
    SendDefinition,
    SetLimit,
    Spawn,
    Transfer,
)
from manyhands.worker.core import AgentCore
from manyhands.worker.memory_evidence import MemoryEvidence
from manyhands.worker.memory_meter import MemoryMeter
from manyhands.worker.output import OutputStream
from manyhands.worker.peers import Peers
from manyhands.worker.reaper import Reaper
from manyhands.worker.reporting import REPORTS
from manyhands.worker.reports import Report
from manyhands.worker.slot_state import Sight, SlotFault
from manyhands.worker.slots import SlotShell
from manyhands.worker.storage import Storage

#: Seconds that a stopping agent gives the master to take its last words, and its terminal its last lines.
FAREWELL_TIMEOUT = 1.0


class Uplink(Protocol):
    """The way to the master: a `Dialer`, or a `LocalUplink` where the master is in this process."""

    @property
    def is_connected(self) -> bool: ...
    def send(self, body: pb.Body, flow: Flow = None) -> None: ...
    def leave(self, reason: str) -> None: ...
    async def run(self) -> None: ...
    async def flush(self, timeout: float) -> bool: ...
    async def close(self) -> None: ...


class Agent:
    """A worker: `slots` processes, one session with the master that the `connect`ed uplink reaches.

    All methods belong to the loop's thread. on_welcome, on_link_lost: for the user's information.
    reaper: kills what tasks have started, should this process be killed. memory_bytes: what each slot may use at
    most; 0: as much as it takes. peers, store_folder, store_bytes: see Storage.
    """

    def __init__(
        self,
        connect: Callable[..., Uplink],
        *,
        name: str,
        slots: int,
        memory_bytes: int = 0,
        peers: Peers | None = None,
        store_folder: Path | None = None,
        store_bytes: int | None = None,
        on_welcome: Callable[[pb.Welcome], None] = lambda _: None,
        on_link_lost: Callable[[str], None] = lambda _: None,
        reaper: Reaper | None = None,
    ) -> None:
        self._name = name
        self._slot_count = slots
        self._reaper = reaper
        self._uplink = connect(
            lambda: make_hello(pb.ROLE_WORKER, name, slots),
            self._on_bodies,
            self._on_welcome,
            self._on_session_lost,
            on_link_lost,
            REPORTS,
        )
        self._show_welcome = on_welcome
        self._storage = Storage(self, self._uplink.send, peers, store_folder, store_bytes)
        self._core = AgentCore(slots, self._look, self._storage.has, name=name, memory_bytes=memory_bytes)
        self._evidence = MemoryEvidence()
        self._meter = MemoryMeter()
        self._slots: list[SlotShell] = []
        self._streams: list[OutputStream] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._broken: asyncio.Future[None] | None = None
        self._stopping = False
        #: While draining: set when no task is held any more.
        self._drained: asyncio.Event | None = None

    # ------------------------------------------------------------ life

    async def run(self) -> None:
        """Work until `stop`. Raises Refused if the master will not have us; leaves no process behind."""
        loop = asyncio.get_running_loop()
        self._broken = loop.create_future()
        stdout, stderr = OutputStream(sys.stdout.buffer, "stdout"), OutputStream(sys.stderr.buffer, "stderr")
        self._streams = [stdout, stderr]
        self._slots = [
            SlotShell(number, self._name, self, stdout, stderr, self._reaper) for number in range(self._slot_count)
        ]
        session = asyncio.create_task(self._uplink.run(), name="agent-session")
        try:
            self._do(self._core.start(time.monotonic()))
            await asyncio.wait((session, self._broken), return_when=asyncio.FIRST_COMPLETED)
            if self._broken.done():
                self._broken.result()
            await session
        finally:
            await self._end(session)

    @property
    def running(self) -> int:
        """How many tasks run."""
        return self._core.running

    async def drain(self, timeout: float) -> None:
        """Take nothing new and hand back what has not started; wait until the master has the results of what runs,
        at most `timeout` seconds. Whatever is left then is handed back by `stop`.
        """
        if self._stopping or not self._core.has_work:
            return  # what is on its way here is handed back by `stop`
        deadline = time.monotonic() + timeout
        drained = self._begin_to_drain()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(drained.wait(), timeout)
            await self._uplink.flush(deadline - time.monotonic())

    def _begin_to_drain(self) -> asyncio.Event:
        self._drained = asyncio.Event()
        self._do(self._core.drain(time.monotonic()))
        return self._drained

    async def stop(self, reason: str = "the worker was stopped") -> None:
        """Hand everything back to the master, say goodbye and end `run`."""
        if self._core.has_work and self._drained is None and not self._stopping:
            self._begin_to_drain()
        self._uplink.leave(reason)
        if self._uplink.is_connected:
            await self._uplink.flush(FAREWELL_TIMEOUT)
        await self._uplink.close()

    async def _end(self, session: asyncio.Task[None]) -> None:
        self._stopping = True
        if self._drained is not None:
            self._drained.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._broken is not None and not self._broken.done():
            self._broken.cancel()
        await self._uplink.close()
        await asyncio.gather(session, return_exceptions=True)
        await asyncio.gather(*(slot.stop() for slot in self._slots))
        await self._storage.close()
        for stream in self._streams:
            stream.close(FAREWELL_TIMEOUT)

    # ------------------------------------------------------------ what happens

    def _look(self, slot: int) -> Sight:
        return self._slots[slot].look()

    def _on_welcome(self, welcome: pb.Welcome) -> None:
        self._show_welcome(welcome)
        if not welcome.resumed:
            self._storage.join(welcome.cluster)

    def _on_bodies(self, bodies: Sequence[pb.Body]) -> None:
        bodies = [body for body in bodies if not self._storage.takes(body)]
        self._do(self._core.received(bodies, time.monotonic()))  # what it raises ends the session's run

    def _on_session_lost(self, reason: str, known: bool) -> None:
        self._storage.on_session_lost()
        now = time.monotonic()
        self._do(self._core.reattach(now) if known else self._core.reset(now))  # likewise

    def on_reports(self, slot: int, reports: list[Report]) -> None:
        """See SlotEvents."""
        with self._fatal():
            self._do(self._core.reported(slot, reports, time.monotonic()))

    def on_death(self, slot: int, exit_code: int, stderr_tail: str) -> None:
        """See SlotEvents."""
        if self._stopping:
            return
        with self._fatal():
            memory = self._evidence.of_death(exit_code)
            self._do(self._core.died(slot, exit_code, stderr_tail, time.monotonic(), memory))

    def on_entered(self) -> None:
        """See StorageEvents."""
        for number, slot in enumerate(self._slots):
            slot.write(self._storage.frames_for(number))

    def on_joined(self, message: pb.JoinStore | None) -> None:
        """See StorageEvents."""
        self._do(self._core.joined_store(message, time.monotonic()))

    def on_here(self, need: Need) -> None:
        """See StorageEvents."""
        with self._fatal():
            self._do(self._core.arrived(need, time.monotonic()))

    def on_lost(self, need: Need, reason: str) -> None:
        """See StorageEvents."""
        with self._fatal():
            self._do(self._core.lost(need.id, reason, time.monotonic()))

    def on_dropped(self, ids: Sequence[bytes]) -> None:
        """See StorageEvents."""
        self._do(self._core.dropped(ids, time.monotonic()))

    def on_broken(self, error: BaseException) -> None:
        """See StorageEvents."""
        with self._fatal():
            raise error

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = math.inf
        with self._fatal():
            self._do(self._core.tick(time.monotonic()))

    @contextlib.contextmanager
    def _fatal(self) -> Iterator[None]:
        """In a callback of the loop: an error of ours ends `run`, which raises it, instead of being logged."""
        try:
            yield
        except SlotFault:
            raise
        except Exception as error:
            if self._broken is None or self._broken.done():
                raise
            self._broken.set_exception(error)

    # ------------------------------------------------------------ what is decided

    def _do(self, commands: list[Command]) -> None:
        """Carry out commands in order; what goes to one slot's pipe goes in one write.

        Page words are written at once, so a limit is in force before anything after it is sent.
        """
        writes: dict[int, list[frames.Buffer]] = {}
        for command in commands:
            match command:
                case Feed():
                    writes.setdefault(command.slot, []).extend(_chunk_frame(command))
                case Send():
                    self._uplink.send(command.body)
                case SendDefinition():
                    writes.setdefault(command.slot, []).extend(frames.write_define(command.hash, command.blob))
                case SetLimit():
                    self._slots[command.slot].set_limit(command.limit)
                    self._core.limit_set(command.slot, command.limit, time.monotonic())
                case SendCut():
                    writes.setdefault(command.slot, []).extend(frames.write_cut(command.cut))
                case Measure():
                    self._measure(command)
                case Spawn() | Interrupt() | Kill():
                    self._control(self._slots[command.slot], command)
                case Transfer() | DropData() | DropUnreported():
                    self._storage.do(command)
                case Complain():
                    self.complain(command.sentence)
                case _:
                    assert_never(command)
        for slot, parts in writes.items():
            self._slots[slot].write(parts)
        self._look_ahead()

    def complain(self, sentence: str) -> None:
        """On this worker's standard error."""
        self._streams[1].put([f"manyhands: {sentence}\n".encode()])

    def _measure(self, command: Measure) -> None:
        def on_measured(used_bytes: int) -> None:
            if not self._stopping:
                with self._fatal():
                    now = time.monotonic()
                    self._do(self._core.measured(command.slot, command.position, used_bytes, now))

        pid = self._slots[command.slot].pid
        if pid is None:
            return  # dead: what it used is void
        sentence = self._meter.measure(pid, command.limit_bytes, on_measured)
        if sentence:
            self.complain(sentence)

    def _look_ahead(self) -> None:
        """What the core wants next."""
        if self._drained is not None and not self._core.has_work:
            self._drained.set()
        deadline = self._core.next_deadline()
        if deadline is not None and deadline < self._timer_at:
            self._arm(deadline)

    def _control(self, slot: SlotShell, command: Spawn | Interrupt | Kill) -> None:
        match command:
            case Spawn():
                slot.spawn()
                slot.write(self._storage.frames_for(command.slot))
            case Interrupt():
                slot.interrupt(command.position)
            case Kill():
                slot.kill()

    def _arm(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # Whole milliseconds, rounded up: loops count in them, and one that fires early would only fire again.
        delay = math.ceil(max(0.0, deadline - time.monotonic()) * 1000) / 1000
        self._timer_at = deadline
        self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)


def _chunk_frame(feed: Feed) -> list[frames.Buffer]:
    piece = feed.piece
    base, ends, payload = piece.slice(feed.lo, feed.hi)
    state = frames.write_state(feed.position, piece.state) if piece.state else []
    return state + frames.write_chunk(
        frames.Chunk(
            position=feed.position,
            count=feed.hi - feed.lo,
            job=piece.lease.job,
            name=piece.lease.name,
            first=feed.lo,
            attempt=piece.attempt,
            call=piece.call,
            function=piece.function,
            retry_on=piece.retry_on,
            context=piece.context,
            keep_bytes=piece.keep_bytes,
            keep_as=piece.keep_as,
            definitions=piece.definitions,
            base=base,
            ends=ends,
            payload=payload,
        )
    )
