"""One chaos run: cluster, load and monkey put together, brought to rest, and what was written down gathered."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.chaos.checker import Violation
from tests.chaos.cluster import STOP_TIMEOUT, Cluster
from tests.chaos.history import Event, read_history
from tests.chaos.monkey import Monkey, Struck
from tests.chaos.plan import HEARTBEAT_TIMEOUT, LINK_FAULTS, MASTER_DEATHS, Fault, Kind, make_plan
from tests.chaos.progress import Progress
from tests.chaos.small_disk import SmallDisk
from tests.chaos.starts import Start, read_starts
from tests.support.command_line import status

#: Seconds after the last fault in which everything must have ended.
SETTLE_TIMEOUT = 60.0
#: Seconds in which the master must then see every worker, and all of them idle.
REST_TIMEOUT = 20.0
#: Seconds after which a killed client's jobs must be gone.
CLEANUP_TIMEOUT = 60.0
#: Seconds within which a dead master is started again, at the latest.
DEATH_SECONDS = 5.0
#: After so many seconds without load the faults stop, and the checker tells why.
STUCK_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run is. Durations in seconds."""

    seed: int
    seconds: float
    kinds: Sequence[Kind]
    workers: int = 3
    slots: int = 2
    clients: int = 4
    heartbeat_timeout: float = HEARTBEAT_TIMEOUT
    #: Workers, and every other client, are as if on hosts of their own.
    apart: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """All that is known of a run that is over."""

    histories: dict[str, list[Event]]
    starts: list[Start]
    struck: list[Struck]
    missed: list[tuple[Fault, str]]
    killed_clients: frozenset[str]
    complaints: list[Violation]
    #: Monotonic seconds: the first fault's turn, and when the last one was mended.
    begun: float
    over: float


class Stuck(Exception):
    """There has been no load for too long."""


class Run:
    """Call `run` once."""

    def __init__(self, settings: Settings, folder: Path, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._folder = folder
        self._say = say
        self._disk = SmallDisk(folder / "disk") if Kind.FULL_DISK in settings.kinds else None
        self._cluster = Cluster(
            folder, settings.seed, workers=settings.workers, slots=settings.slots, clients=settings.clients,
            data_dir=folder / "disk" / "state", heartbeat_timeout=settings.heartbeat_timeout,
            apart=settings.apart,
        )  # fmt: skip
        self._progress = Progress(self._cluster.histories)
        self._monkey = Monkey(self._cluster, self._disk, self._progress.forget)
        self._complaints: dict[str, Violation] = {}  # one of each process's end

    async def run(self) -> Record:
        settings, cluster = self._settings, self._cluster
        plan = make_plan(
            settings.seed, settings.seconds, [*cluster.workers], [*cluster.clients], settings.kinds,
            settings.heartbeat_timeout,
        )  # fmt: skip
        with self._mounted():
            try:
                await cluster.start()
                await self._wait_loaded()
                begun = time.monotonic()
                watching = asyncio.create_task(self._watch(begun, len(plan)))
                try:
                    await self._monkey.run(plan, self._wait_loaded)
                    # The time that was asked for, also when the last fault comes early.
                    await asyncio.sleep(begun + settings.seconds - time.monotonic())
                except* Stuck as stuck:
                    self._say(f"no more faults: {stuck.exceptions[0]}")
                over = time.monotonic()
                await self._settle()
                watching.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watching
                await self._come_to_rest()
                await self._stop_daemons()
            finally:
                await cluster.close()
        return self._record(begun, over)

    @contextlib.contextmanager
    def _mounted(self) -> Iterator[None]:
        if self._disk is None:
            yield
            return
        self._disk.mount()
        try:
            yield
        finally:
            self._disk.unmount()

    # ------------------------------------------------------------ while faults go on

    async def _wait_loaded(self) -> None:
        """Raises Stuck."""
        deadline = time.monotonic() + STUCK_TIMEOUT
        self._progress.refresh()
        while not self._progress.is_loaded:
            if time.monotonic() > deadline:
                raise Stuck(f"for {STUCK_TIMEOUT:g} s no more than {self._progress.open_tasks} tasks were open")
            await asyncio.sleep(0.1)
            self._progress.refresh()

    async def _watch(self, begun: float, planned: int) -> None:
        """Tell of progress, and notice processes that end by themselves."""
        ended_before, told = 0, begun
        while True:
            await asyncio.sleep(0.25)
            self._progress.refresh()
            self._look_for_ends()
            now = time.monotonic()
            if now - told >= 5.0:
                rate = (self._progress.ended - ended_before) / (now - told)
                ended_before, told = self._progress.ended, now
                strikes = len(self._monkey.struck) + len(self._monkey.missed)
                current = ", ".join(f"{fault.kind} {fault.target}" for fault in self._monkey.under_way)
                self._say(
                    f"{now - begun:5.0f} s  {strikes} of {planned} faults over, {self._progress.ended} tasks, "
                    f"{rate:.0f}/s, {self._progress.open_tasks} open; now: {current or 'no fault'}"
                )

    def _look_for_ends(self) -> None:
        for name, managed in self._cluster.everybody.items():
            code = managed.exit_code
            if code is not None and not managed.lock.locked() and code != 0:
                text = f"process {managed.incarnation} ended by itself with {code}; see {managed.log.name}"
                self._complaints.setdefault(f"{name}.{managed.incarnation}", Violation("ended", name, text))

    # ------------------------------------------------------------ afterwards

    async def _settle(self) -> None:
        """Let the clients see everything through; ask those that do not for their stacks, and kill them."""
        deadline = time.monotonic() + SETTLE_TIMEOUT
        clients = list(self._cluster.clients.values())
        for client in clients:
            while not (self._cluster.histories / f"{client.name}.{client.incarnation}").exists():
                await asyncio.sleep(0.02)  # it does not understand signals yet
                if client.exit_code is not None:
                    break
            client.signal(signal.SIGTERM)
        for client in clients:
            if not await client.ended(deadline - time.monotonic()):
                client.signal(signal.SIGUSR1)
                await asyncio.sleep(1.0)
                client.kill()

    async def _come_to_rest(self) -> None:
        """The master sees each worker once, and nothing of clients that left."""
        deadline = time.monotonic() + REST_TIMEOUT
        while (trouble := await asyncio.to_thread(self._unrest)) is not None:
            if time.monotonic() > deadline:
                for managed in (self._cluster.master, *self._cluster.workers.values()):
                    managed.signal(signal.SIGUSR1)  # they tell what they wait for
                self._complaints["rest"] = Violation("unrest", "master", f"{trouble}, {REST_TIMEOUT:g} s after the end")
                return
            await asyncio.sleep(0.5)

    def _unrest(self) -> str | None:
        seen = status(f"127.0.0.1:{self._cluster.port}")
        names = sorted(worker["name"] for worker in seen["workers"])
        if names != sorted(self._cluster.workers):
            return f"its workers are {names}"
        if not seen["jobs"]:
            busy = {worker["name"]: worker["outstanding"] for worker in seen["workers"] if worker["outstanding"]}
            return f"no job is left, and workers are said to run some: {busy}" if busy else None
        now = time.monotonic()
        killed = self._monkey.killed_clients.items()
        excused = [f"-{pid}" for name, (pid, at) in killed if self._may_linger(name.partition(".")[0], at, now)]
        left = sorted({job["client"] for job in seen["jobs"] if not job["client"].endswith(tuple(excused))})
        return f"jobs are left of clients that are gone: {left}" if left else None

    def _may_linger(self, client: str, killed_at: float, now: float) -> bool:
        """Whether jobs of a client killed then may be left: if nobody can have seen it end, or just now."""
        return now - killed_at < CLEANUP_TIMEOUT or any(
            # A master that starts anew waits anew; one that was dead, or stands behind a dead link, has seen nothing.
            killed_at < each.healed + DEATH_SECONDS
            if each.fault.kind in MASTER_DEATHS
            else each.fault.target == client
            and each.fault.kind in LINK_FAULTS
            and each.began < killed_at < each.healed + self._settings.heartbeat_timeout
            for each in self._monkey.struck
        )

    async def _stop_daemons(self) -> None:
        for managed in (*self._cluster.workers.values(), self._cluster.master):
            managed.signal(signal.SIGTERM)
            if not await managed.ended(STOP_TIMEOUT):
                self._complaints[managed.name] = Violation(
                    "hang", managed.name, f"no end {STOP_TIMEOUT:g} s after SIGTERM"
                )
            elif managed.exit_code != 0:
                self._complaints[managed.name] = Violation(
                    "ended", managed.name, f"SIGTERM: exit code {managed.exit_code}"
                )

    def _record(self, begun: float, over: float) -> Record:
        logs = {name: managed.log for name, managed in self._cluster.everybody.items()}
        record = Record(
            histories={path.name: read_history(path) for path in self._cluster.histories.iterdir()},
            starts=read_starts(self._cluster.starts),
            struck=self._monkey.struck,
            missed=self._monkey.missed,
            killed_clients=frozenset(self._monkey.killed_clients),
            complaints=[*self._monkey.complaints, *self._complaints.values(), *tracebacks(logs)],
            begun=begun,
            over=over,
        )
        with (self._folder / "faults.jsonl").open("w") as file:
            file.writelines(json.dumps(asdict(struck)) + "\n" for struck in record.struck)
        return record


def tracebacks(logs: dict[str, Path]) -> Iterator[Violation]:
    """In logs nobody expects any: an error that was caught and told has a sentence instead."""
    for name, path in logs.items():
        text = path.read_text(errors="replace")
        for found in re.finditer(r"^.*Traceback \(most recent call last\):\n(?:[ \t].*\n)*(.*)", text, re.MULTILINE):
            line = text.count("\n", 0, found.start()) + 1
            yield Violation("traceback", name, f"{found[1]} ({path.name}, line {line})")
