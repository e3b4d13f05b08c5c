"""The monkey: carries out the plan's faults, many at a time, and mends each; decides nothing but which slot."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

import psutil
from tests.chaos.checker import Violation
from tests.chaos.cluster import Cluster, Managed
from tests.chaos.plan import Fault, Kind
from tests.chaos.proxy import Link, Weather
from tests.chaos.small_disk import SmallDisk
from tests.chaos.torn_tail import tear_tail
from tests.support.processes import is_alive

#: Seconds to wait for something to strike at: a slot that starts, a link that reconnects.
PATIENCE = 20.0
#: An agent's slots end with it, within so many seconds.
ORPHAN_TIMEOUT = 2.0


class Missed(Exception):
    """There was nothing to strike at."""


@dataclass(frozen=True, slots=True)
class Victim:
    """What a fault came down on."""

    text: str = ""
    #: The processes that ran tasks, if such were killed.
    slots: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault that took place. Monotonic seconds; `healed` is when it was mended, and no sooner than `began`."""

    fault: Fault
    began: float
    healed: float
    victim: Victim


class Monkey:
    """Strikes; keeps what it did, what it missed, and what it saw that must not be."""

    def __init__(self, cluster: Cluster, disk: SmallDisk | None, on_killed_client: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._disk = disk
        self._on_killed_client = on_killed_client
        self.struck: list[Struck] = []
        self.missed: list[tuple[Fault, str]] = []
        #: By name: their pid, and when.
        self.killed_clients: dict[str, tuple[int, float]] = {}
        self.complaints: list[Violation] = []
        self.under_way: set[Fault] = set()
        #: Held while the disk is full, and while a master starts.
        self._room = asyncio.Lock()
        #: How many faults want a process to stand still: it goes on when the last of them is mended.
        self._stops: Counter[psutil.Process] = Counter()

    async def run(self, plan: Sequence[Fault], wait_loaded: Callable[[], Awaitable[None]]) -> None:
        """All of the plan, no fault sooner than it says, and none while there is no load; until the last is mended."""
        begun = time.monotonic()
        waited = 0.0  # while there was no load; later faults keep their distance
        async with asyncio.TaskGroup() as group:
            for fault in plan:
                await asyncio.sleep(begun + waited + fault.at - time.monotonic())
                asked = time.monotonic()
                await wait_loaded()
                waited += time.monotonic() - asked
                group.create_task(self._strike(fault))

    async def _strike(self, fault: Fault) -> None:
        self.under_way.add(fault)
        try:
            async with self._fault(fault) as victim:
                began = time.monotonic()
                if fault.kind is not Kind.KILL_SLOT:  # its agent mends that
                    await asyncio.sleep(fault.duration)
            self.struck.append(Struck(fault, began, time.monotonic(), victim))
        except Missed as missed:
            self.missed.append((fault, str(missed)))
        finally:
            self.under_way.discard(fault)

    @contextlib.asynccontextmanager
    async def _fault(self, fault: Fault) -> AsyncIterator[Victim]:
        """Begun on entry, mended on exit. Raises Missed."""
        cluster, target = self._cluster, fault.target
        match fault.kind:
            case Kind.KILL_AGENT:
                context = self._killed_agent(cluster.workers[target])
            case Kind.KILL_CLIENT:
                context = self._killed_client(cluster.clients[target])
            case Kind.KILL_MASTER:
                context = self._killed_master()
            case Kind.TORN_TAIL:
                context = self._torn_tail(fault)
            case Kind.STOP_AGENT | Kind.STOP_CLIENT | Kind.STOP_MASTER:
                context = self._stopped(cluster.everybody[target])
            case Kind.KILL_SLOT | Kind.STOP_SLOT:
                context = self._struck_slot(fault)
            case Kind.FULL_DISK:
                context = self._full_disk()
            case _:
                context = self._bad_link(fault, cluster.links[target])
        async with context as victim:
            yield victim

    # ------------------------------------------------------------ processes

    @contextlib.asynccontextmanager
    async def _killed(self, managed: Managed) -> AsyncIterator[Victim]:
        async with managed.lock:
            pid = managed.pid
            managed.kill()
            try:
                yield Victim(f"process {pid}")
            finally:
                managed.start()

    @contextlib.asynccontextmanager
    async def _killed_agent(self, agent: Managed) -> AsyncIterator[Victim]:
        async with agent.lock:
            slots = agent.slots()
            agent.kill()
            watching = asyncio.create_task(self._watch_orphans(agent.name, slots))
            try:
                yield Victim(f"process {agent.pid}", tuple([slot.pid for slot in slots]))
            finally:
                agent.start()
        await watching

    async def _watch_orphans(self, agent: str, slots: list[psutil.Process]) -> None:
        deadline = time.monotonic() + ORPHAN_TIMEOUT
        while left := [slot.pid for slot in slots if is_alive(slot)]:
            if time.monotonic() > deadline:
                text = f"it was killed, and {ORPHAN_TIMEOUT:g} s later its slots {left} were alive"
                self.complaints.append(Violation("orphan", agent, text))
                return
            await asyncio.sleep(0.02)

    @contextlib.asynccontextmanager
    async def _killed_client(self, client: Managed) -> AsyncIterator[Victim]:
        async with self._killed(client) as victim:
            name = f"{client.name}.{client.incarnation}"
            self.killed_clients[name] = client.pid, time.monotonic()
            self._on_killed_client(name)
            yield Victim(f"{victim.text}, {name}")

    @contextlib.asynccontextmanager
    async def _stopped(self, managed: Managed) -> AsyncIterator[Victim]:
        async with managed.lock:
            pid = managed.pid
        try:
            process = psutil.Process(pid)  # which knows it from a later one with the same number
        except psutil.NoSuchProcess:
            raise Missed(f"process {pid} ended by itself") from None
        with self._standing_still(process):
            yield Victim(f"process {process.pid}")

    @contextlib.contextmanager
    def _standing_still(self, process: psutil.Process) -> Iterator[None]:
        try:
            process.send_signal(signal.SIGSTOP)
        except psutil.NoSuchProcess:
            raise Missed(f"process {process.pid} ended by itself") from None
        self._stops[process] += 1
        try:
            yield
        finally:
            self._stops[process] -= 1
            if not self._stops[process]:
                with contextlib.suppress(psutil.NoSuchProcess):  # another fault may have killed it meanwhile
                    process.send_signal(signal.SIGCONT)

    @contextlib.asynccontextmanager
    async def _struck_slot(self, fault: Fault) -> AsyncIterator[Victim]:
        agent = self._cluster.workers[fault.target]
        await _wait_until(agent.slots, f"{agent.name} has no slot")
        slots = agent.slots()
        slot = slots[int(fault.degree * len(slots))]
        if fault.kind is Kind.STOP_SLOT:
            with self._standing_still(slot):
                yield Victim(f"process {slot.pid}")
            return
        try:
            slot.kill()
        except psutil.NoSuchProcess:
            raise Missed(f"slot {slot.pid} ended by itself") from None
        yield Victim(f"process {slot.pid}", (slot.pid,))

    # ------------------------------------------------------------ connections

    @contextlib.asynccontextmanager
    async def _bad_link(self, fault: Fault, link: Link) -> AsyncIterator[Victim]:
        await _wait_until(lambda: link.is_used, f"{link.name} has no connection")
        match fault.kind:
            case Kind.RESET:
                link.reset()
                yield Victim()
            case Kind.HALF_CLOSE:
                link.half_close(fault.direction)
                yield Victim()
            case Kind.BLACK_HOLE:
                link.begin_swallowing()
                try:
                    yield Victim()
                finally:
                    link.end_swallowing()
            case _:
                weather = _weather(fault)
                link.begin(weather)
                try:
                    yield Victim(f"{weather}")
                finally:
                    link.end(weather)

    # ------------------------------------------------------------ the master and its disk

    @contextlib.asynccontextmanager
    async def _killed_master(self) -> AsyncIterator[Victim]:
        master = self._cluster.master
        async with master.lock:
            pid = master.pid
            master.kill()
            try:
                yield Victim(f"process {pid}")
            finally:
                await self._room.acquire()
                master.start()
                self._watching = asyncio.create_task(self._keep_room_until_served(master.incarnation))

    async def _keep_room_until_served(self, incarnation: int) -> None:
        """Until then the disk must not fill up: a master that finds it full ends, and says so."""
        cluster = self._cluster
        try:
            while cluster.master.incarnation == incarnation and cluster.master.exit_code is None:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", cluster.port)
                    writer.close()
                    return
                await asyncio.sleep(0.02)
        finally:
            self._room.release()

    @contextlib.asynccontextmanager
    async def _torn_tail(self, fault: Fault) -> AsyncIterator[Victim]:
        async with self._killed_master():
            async with self._room:
                try:
                    torn = tear_tail(self._cluster.data_dir, random.Random(fault.degree))
                except OSError as error:  # the journal itself has filled the disk
                    raise Missed(f"the tail could not be torn: {error.strerror}") from None
            yield Victim(torn)

    @contextlib.asynccontextmanager
    async def _full_disk(self) -> AsyncIterator[Victim]:
        assert self._disk is not None
        async with self._room:
            self._disk.fill()
            try:
                yield Victim()
            finally:
                self._disk.free()


def _weather(fault: Fault) -> Weather:
    match fault.kind:
        case Kind.STALL:
            return Weather(fault.direction, stalled=True)
        case Kind.DELAY:
            return Weather(fault.direction, delay=0.02 + 0.5 * fault.degree)
        case Kind.THROTTLE:
            return Weather(fault.direction, rate=20_000 + 200_000 * fault.degree)
    raise AssertionError(f"{fault.kind} is no weather")


async def _wait_until(holds: Callable[[], object], otherwise: str) -> None:
    """Raises Missed."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise Missed(f"{otherwise}, for {PATIENCE:g} s")
        await asyncio.sleep(0.05)
