"""Owns the simulated cluster: the shipped scheduler, workers that report as agents do, and what it all costs."""

import heapq
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from manyhands.master import commands as cmd
from manyhands.master import events as ev
from manyhands.master.scheduler import Scheduler
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import Block, pack_ends
from manyhands.worker.reporting import ROUND_TRIP, Urgency

#: Seconds that a message takes one way.
LINK_DELAY = 0.001
#: An item as it travels: a small int's pickle. Its offset takes four bytes more.
ITEM_BYTES = 5
#: Tasks of a block, at about 64 KiB, and how many a second one client encodes and sends.
BLOCK_TASKS = 7_000
TASKS_PER_SECOND = 1_000_000
#: Seconds in which deliveries to the one client gather into a frame, as they do while a loop's turn lasts.
CLIENT_TURN = 0.001
JOB, CLIENT = 1, 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run cost. Seconds of `makespan` are virtual, from the first block's arrival to the last result."""

    tasks: int
    makespan: float
    scheduler_seconds: float
    #: Frames from and to workers, and to the client: one for all that goes one way at one instant.
    messages: Counter[str]


def block_of(first: int, count: int) -> Block:
    """The next `count` tasks, as a client sends them."""
    ends = pack_ends(array("I", range(ITEM_BYTES, ITEM_BYTES * (count + 1), ITEM_BYTES)))
    return Block(first, 0, ends, bytes(ITEM_BYTES * count), b"function-16bytes", pb.CALL_ITEM)


class Cluster:
    """One master, `workers` workers of `slots` slots, one job of tasks that take `seconds`."""

    def __init__(self, workers: int, slots: int, seconds: Sequence[float], seed: int) -> None:
        self.seconds = seconds
        self.now = 0.0
        self.scheduler = Scheduler(Random(seed))
        self.messages: Counter[str] = Counter()
        self.workers = [Worker(number, slots, self) for number in range(workers)]
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._last_event = 0
        self._last_plan = -1.0  # when one was last asked for
        self._spent = 0.0
        self._delivered = -1.0
        self._open = len(seconds)

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Have `action` called at a virtual time."""
        self._last_event += 1
        heapq.heappush(self._events, (when, self._last_event, action))

    def run(self) -> Outcome:
        """The whole job."""
        for worker in self.workers:
            self.handle(ev.WorkerJoined(worker.number, worker.slots))
        self.handle(ev.JobOpened(JOB, CLIENT, ev.JobOptions()))
        for first in range(0, len(self.seconds), BLOCK_TASKS):
            self.at(first / TASKS_PER_SECOND, lambda first=first: self._send_block(first))
        while self._events and self._open:
            self.now, _, action = heapq.heappop(self._events)
            action()
        if self._open:
            raise AssertionError(f"{self._open} tasks never ended")
        return Outcome(len(self.seconds), self.now, self._spent, self.messages)

    def _send_block(self, first: int) -> None:
        end = min(first + BLOCK_TASKS, len(self.seconds))
        self.messages["from the client"] += 1
        self.handle(ev.BlockArrived(JOB, block_of(first, end - first)))
        if end == len(self.seconds):
            self.handle(ev.JobSealed(JOB, end))

    def handle(self, *events: ev.Event) -> None:
        """As the engine does: all events of a frame, and one plan after all frames of an instant."""
        begun = time.process_time()
        commands = [command for event in events for command in self.scheduler.handle(event, self.now)]
        self._spent += time.process_time() - begun
        self._carry_out(commands)
        if self._last_plan < self.now:
            self._last_plan = self.now
            self.at(self.now, self._plan)

    def _plan(self) -> None:
        begun = time.process_time()
        commands = self.scheduler.plan(self.now)
        due = self.scheduler.next_deadline()
        self._spent += time.process_time() - begun
        self._last_plan = -1.0
        self._carry_out(commands)
        if due is not None:
            self.at(max(due, self.now + 1e-6), self._plan)

    def _carry_out(self, commands: Sequence[cmd.Command]) -> None:
        told: dict[int, list[cmd.Dispatch | cmd.Revoke]] = {}
        delivers = False
        for command in commands:
            match command:
                case cmd.Dispatch() | cmd.Revoke():
                    told.setdefault(command.worker, []).append(command)
                case cmd.DeliverRun():
                    delivers = True
                    self._open -= sum(hi - lo for lo, hi in command.spans)
                case cmd.CloseJob():
                    pass
                case _:
                    raise AssertionError(command)
        if delivers and self.now - self._delivered >= CLIENT_TURN:
            self._delivered = self.now
            self.messages["to the client"] += 1
        for number, words in told.items():
            self.messages["to workers"] += 1
            self.at(self.now + LINK_DELAY, lambda number=number, words=words: self.workers[number].receive(words))


class Worker:
    """Runs what it is sent in order; reports when a slot runs dry, soon if one will, else at the master's interval."""

    def __init__(self, number: int, slots: int, cluster: Cluster) -> None:
        self.number = number
        self.slots = slots
        self._cluster = cluster
        self._free = slots
        self._queue: deque[list[int]] = deque()  # [lease, lo, hi], all unstarted
        self._queued = 0
        self._done: list[tuple[int, int]] = []  # (lease, index), unreported
        self._done_seconds = 0.0
        self._mean = 0.0
        self._flush_at = float("inf")
        self._urgency = Urgency()

    def receive(self, words: Sequence[cmd.Dispatch | cmd.Revoke]) -> None:
        """One frame of the master."""
        for word in words:
            if isinstance(word, cmd.Dispatch):
                for piece in word.pieces:
                    self._queue.append([word.lease, piece.lo, piece.hi])
                    self._queued += piece.hi - piece.lo
            else:
                self._give_back(word)
        self._start()

    def _give_back(self, revoke: cmd.Revoke) -> None:
        given = []
        kept: deque[list[int]] = deque()
        for lease, lo, hi in self._queue:
            asked = [(max(lo, a), min(hi, b)) for a, b in revoke.spans] if lease == revoke.lease else []
            start = lo
            for a, b in asked:
                if a < b:
                    given.append((a, b))
                    self._queued -= b - a
                    if start < a:
                        kept.append([lease, start, a])
                    start = b
            if start < hi:
                kept.append([lease, start, hi])
        self._queue = kept
        self._flush(ev.SpansReturned(self.number, revoke.revoke, revoke.lease, tuple(given)))

    def _start(self) -> None:
        cluster = self._cluster
        while self._free and self._queue:
            head = self._queue[0]
            lease, index, hi = head
            if index + 1 == hi:
                self._queue.popleft()
            else:
                head[1] = index + 1
            self._queued -= 1
            self._free -= 1
            cluster.at(cluster.now + cluster.seconds[index], lambda lease=lease, index=index: self._end(lease, index))

    def _end(self, lease: int, index: int) -> None:
        seconds = self._cluster.seconds[index]
        self._mean += (seconds - self._mean) / 5 if self._mean else seconds
        self._done.append((lease, index))
        self._done_seconds += seconds
        self._free += 1
        self._start()
        self._see_to_report()

    def _see_to_report(self) -> None:
        """See `worker/reporting.py`."""
        now = self._cluster.now
        interval = self._cluster.scheduler.flush_interval
        before = self._flush_at
        if before == float("inf"):
            self._flush_at = now + interval
        if self._free or self._queued * self._mean < self.slots * (self._flush_at - now + ROUND_TRIP):
            is_last = self._free == self.slots
            self._flush_at = min(self._flush_at, self._urgency.next(interval, is_idle=self._free > 0, is_last=is_last))
        if self._flush_at != before:
            self._flush_at = max(self._flush_at, now)
            self._cluster.at(self._flush_at, self._flush_if_due)

    def _flush_if_due(self) -> None:
        if self._done and self._flush_at <= self._cluster.now:
            self._flush()

    def _flush(self, *answers: ev.SpansReturned) -> None:
        cluster = self._cluster
        self._flush_at = float("inf")
        self._urgency.sent(cluster.now, cluster.scheduler.flush_interval)
        done, self._done = sorted(self._done), []
        each = self._done_seconds / len(done) if done else 0.0
        self._done_seconds = 0.0
        runs: list[list[int]] = []
        for lease, index in done:
            if runs and runs[-1][0] == lease and runs[-1][2] == index:
                runs[-1][2] = index + 1
            else:
                runs.append([lease, index, index + 1])
        results = [
            ev.RunSucceeded(
                self.number, JOB, lease, lo, hi - lo, each * (hi - lo), pb.Results(first=lo, ends=bytes(4 * (hi - lo)))
            )
            for lease, lo, hi in runs
        ]
        cluster.messages["from workers"] += 1
        cluster.at(cluster.now + LINK_DELAY, lambda: cluster.handle(*results, *answers))
