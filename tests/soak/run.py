"""One soak: clients are told what to do, workers and clients come and go, and at each tenth all rest to be measured."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.soak.cluster import Cluster, SoakClient
from tests.soak.journal import rows, size_bytes
from tests.soak.memory import private_bytes
from tests.soak.report import HEADER, Remains, Report, Sample, as_line

from manyhands.errors import MasterUnreachable
from manyhands.idle_memory import INTERVAL

#: Samples, at equal distances.
SAMPLES = 10
#: Of the tasks, so many are short-lived clients'; each of those does so many, and one in so many is killed amid them.
SHORT_SHARE, SHORT_TASKS, KILLED_CLIENTS = 0.3, 15_000, 6
#: Tasks between two replacements of the worker, and seconds at least.
REPLACE_EVERY, REPLACE_INTERVAL = 30_000, 2.0
#: Seconds without an outcome after which it is over.
STUCK_TIMEOUT = 90.0
#: Seconds of rest until memory is measured: by then daemons have given back what they do not need.
IDLE = 4 * INTERVAL
#: Seconds that all may take to come to rest; and for killed clients to be forgotten besides.
REST_TIMEOUT, FORGET_TIMEOUT = 30.0, 75.0
SAY_INTERVAL = 5.0

#: The journal's tables that are empty while no task is open, whoever is there.
OF_OPEN_TASKS = ("blocks", "tries", "marks", "inbox", "fragments")


class Failed(Exception):
    """It cannot go on; the text says why."""


@dataclass(frozen=True, slots=True)
class Settings:
    tasks: int
    seed: int
    #: Whether short-lived clients are killed, too. The master gives them a minute to come back.
    kill_clients: bool


class Run:
    """Call `run` once."""

    def __init__(self, settings: Settings, folder: Path, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._say = say
        self._rng = Random(settings.seed)
        self._cluster = Cluster(folder)
        #: Those that may still run.
        self._clients: list[SoakClient] = []
        self._short: SoakClient | None = None
        #: Tasks of short-lived clients that have ended, how many there were, and how many were killed.
        self._short_done = 0
        self._short_clients = 0
        self._clients_killed = 0
        self._kill_at: int | None = None
        self._replaced_at = (0, 0.0)
        self._complaints: list[str] = []
        self._samples: list[Sample] = []
        self._begun = time.monotonic()
        self._said_at = self._begun
        self._advanced = (0, self._begun)

    def run(self) -> Report:
        remains = None
        try:
            self._cluster.start()
            self._long = self._start_client("long-lived", self._settings.seed)
            self._soak()
            remains = self._end()
        except (Failed, MasterUnreachable) as failed:
            self._complaints.append(str(failed))
        finally:
            for client in self._clients:
                client.kill()
            self._cluster.close()
        return Report(
            seed=self._settings.seed,
            samples=self._samples,
            remains=remains,
            drained=self._cluster.replacements["drained"],
            killed=self._cluster.replacements["killed"],
            clients=self._short_clients,
            clients_killed=self._clients_killed,
            complaints=self._complaints,
        )

    @property
    def _done(self) -> int:
        return self._long.done + self._short_done + (self._short.done if self._short is not None else 0)

    # ------------------------------------------------------------ the load

    def _soak(self) -> None:
        for number in range(1, SAMPLES + 1):
            begun, before = time.monotonic(), self._done
            due = self._settings.tasks * number // SAMPLES
            short_due = int(due * SHORT_SHARE)
            self._long.do(max(1, due - short_due - self._long.done))
            while not self._long.is_resting or self._short is not None or self._short_done < short_due:
                self._look()
                self._drive_short(short_due)
                self._replace()
                time.sleep(0.02)
            seconds = time.monotonic() - begun
            self._rest()
            time.sleep(IDLE)
            self._sample(self._done, (self._done - before) / seconds)

    def _drive_short(self, due: int) -> None:
        """One after the other, until they have done what is due."""
        client = self._short
        if client is None:
            if self._short_done < due:
                self._begin_short(due - self._short_done)
        elif client.process.poll() is not None:
            self._complain(client)
            self._clients.remove(client)
            self._short_done += client.done
            self._short = None
        elif self._kill_at is not None and client.done >= self._kill_at:
            client.kill()
            self._clients_killed += 1
            self._kill_at = None

    def _begin_short(self, due: int) -> None:
        self._short_clients += 1
        client = self._short = self._start_client("short-lived", self._rng.getrandbits(32))
        tasks = min(due, SHORT_TASKS)
        client.do(tasks)
        client.leave()
        is_victim = self._settings.kill_clients and self._short_clients % KILLED_CLIENTS == 0
        self._kill_at = tasks // 4 if is_victim else None

    def _start_client(self, name: str, seed: int) -> SoakClient:
        client = SoakClient(self._cluster.address, seed, self._cluster.folder / f"{name}.log")
        self._clients.append(client)
        return client

    def _replace(self) -> None:
        done, at = self._replaced_at
        now = time.monotonic()
        if self._done - done >= REPLACE_EVERY and now - at >= REPLACE_INTERVAL:
            if not self._cluster.is_replacement_there:  # one that still starts would not be drained, but just end
                return
            self._replaced_at = self._done, now
            count = sum(self._cluster.replacements.values())
            self._cluster.replace(kill=count % 2 == 1)

    # ------------------------------------------------------------ looking

    def _look(self) -> None:
        """Raises Failed."""
        now = time.monotonic()
        if self._done > self._advanced[0]:
            self._advanced = self._done, now
        if now - self._said_at >= SAY_INTERVAL:
            self._said_at = now
            self._say(f"{now - self._begun:5.0f} s  {self._done:,} of {self._settings.tasks:,} tasks")
        self._complaints += self._cluster.complaints()
        if self._long.process.poll() is not None:
            raise Failed(self._long.complaint() or "the long-lived client ended by itself")
        if self._complaints:
            raise Failed("so the soak was ended")
        if now - self._advanced[1] > STUCK_TIMEOUT:
            raise Failed(f"no task has ended for {STUCK_TIMEOUT:g} s: {self._cluster.status()}")

    def _complain(self, client: SoakClient) -> None:
        complaint = client.complaint()
        if complaint is not None:
            self._complaints.append(complaint)

    def _rest(self) -> None:
        """Wait until nothing is open. A client's submits are a job that lasts as long as it does."""

        def busy() -> str:
            status = self._cluster.status()
            jobs = [job["name"] for job in status["jobs"] if job["queued"] or job["outstanding"]]
            workers = [worker["name"] for worker in status["workers"] if worker["outstanding"]]
            if jobs or workers or len(status["workers"]) != 2:
                return f"busy jobs {jobs} and workers {workers}"
            found = rows(self._cluster.data_dir)
            left = {table: found[table] for table in OF_OPEN_TASKS if found[table]}
            return f"left in the journal: {left}" if left else ""

        self._wait_for(busy, REST_TIMEOUT)

    def _wait_for(self, what_is_missing: Callable[[], str], timeout: float) -> None:
        """Raises Failed."""
        deadline = time.monotonic() + timeout
        while missing := what_is_missing():
            if time.monotonic() > deadline:
                raise Failed(f"not at rest after {timeout:g} s: {missing}")
            time.sleep(0.1)
            self._complaints += self._cluster.complaints()

    def _sample(self, tasks: int, tasks_per_second: float) -> None:
        cluster = self._cluster
        sample = Sample(
            tasks=tasks,
            tasks_per_second=tasks_per_second,
            master_bytes=private_bytes(cluster.master.pid),
            agent_bytes=private_bytes(cluster.steady.pid),
            client_bytes=private_bytes(self._long.process.pid),
            journal_bytes=size_bytes(cluster.data_dir),
        )
        if not self._samples:
            self._say(HEADER)
        self._samples.append(sample)
        self._say(as_line(sample))

    # ------------------------------------------------------------ the end

    def _end(self) -> Remains:
        self._long.leave()
        try:
            self._long.process.wait(REST_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise Failed(f"the long-lived client has not ended after {REST_TIMEOUT:g} s") from None
        self._complain(self._long)

        def left() -> str:
            status = self._cluster.status()
            return f"{len(status['jobs'])} jobs and {status['clients']} clients" * bool(
                status["jobs"] or status["clients"]
            )

        try:
            self._wait_for(left, FORGET_TIMEOUT if self._clients_killed else REST_TIMEOUT)
        except Failed as failed:
            self._complaints.append(str(failed))
        self._rest()
        status = self._cluster.status()
        return Remains(
            jobs=len(status["jobs"]),
            clients=status["clients"],
            outstanding={worker["name"]: worker["outstanding"] for worker in status["workers"]},
            rows=rows(self._cluster.data_dir),
        )
