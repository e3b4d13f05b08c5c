"""An `AgentCore` with model slots and a model master around it, on virtual time; judges every task's fate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial

from tests.support.builders import items_of, packed
from tests.unit.worker.model_slot import SLOT_BYTES, ModelSlot, TaskKey
from tests.unit.worker.model_store import ModelStore

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.needs import Need
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
from manyhands.worker.memory_limits import LITTLE
from manyhands.worker.slot_state import Sight

UNSEEN = Sight(0, busy=False, since=0.0)


class AgentModel:
    """`fate` has one word for each task that is over; tasks not in it are held by the agent."""

    def __init__(
        self,
        slots: int,
        seconds: Callable[[TaskKey], float] = lambda _: 0.001,
        fails: Callable[[TaskKey], bool] = lambda _: False,
        store_bytes: int = 1 << 20,
        slot_definitions: int = 1000,
        memory: Callable[[TaskKey], tuple[int, int]] = lambda _: (0, 0),
        memory_bytes: int = 0,
        keeps: Callable[[TaskKey], bool] = lambda _: False,
    ) -> None:
        self.now = 100.0
        self.store = ModelStore()
        self.keeps = keeps
        self.needs: dict[int, list[Need]] = {}  # by lease
        self.draining = False
        self.late = False
        #: Seconds from a decision to its execution: the agent's process may be preempted in between.
        self.lag = 0.0
        #: Slots send what is finished before they start a task, as real ones do unless that took no time. Or two tasks
        #: could for ever undo each other: each leaves so much memory that its slot is killed with its result unsent.
        self.prompt = False
        self.core = AgentCore(
            slots, self._look, self.store.has, name="w", store_bytes=store_bytes, memory_bytes=memory_bytes
        )
        self.slots: list[ModelSlot | None] = [None] * slots
        self.last_sight = [UNSEEN] * slots
        self.memory, self.memory_bytes = memory, memory_bytes
        self.memory_limits: dict[int, int] = {}  # by lease, and 0 for none
        self.asked: dict[int, int] = {}  # what the job of a lease asked for
        self.measurements: list[tuple[int, ModelSlot, int]] = []  # (slot, its process, position), not taken yet
        self.excused = 0  # tasks that were not blamed for what their slot was killed for
        self.seconds, self.fails, self.slot_definitions = seconds, fails, slot_definitions
        self.sent: list[pb.Body] = []
        self.complaints: list[str] = []
        self.fate: dict[TaskKey, str] = {}
        self.jobs: dict[int, int] = {}  # by lease
        self.timeouts: dict[int, float] = {}  # by lease
        self.doomed: set[int] = set()  # slots that the core has had killed; they die when the test says so
        self.signals: list[tuple[int, ModelSlot, int]] = []  # (slot, its process, position), not delivered yet
        self.unwanted: set[TaskKey] = set()  # asked for with `stop`
        self.stopped: set[TaskKey] = set()  # those that an interrupt has ended
        self.dispatched: set[TaskKey] = set()
        self.runs: Counter[TaskKey] = Counter()
        self.losses: Counter[TaskKey] = Counter()  # ran, or may have, in a slot that died
        self.revokes: dict[int, int] = {}  # lease by number, unanswered
        self.blobs: dict[bytes, bytes] = {}
        self.wants: list[bytes] = []
        self.do(self.core.start(self.now))

    # ------------------------------------------------------------ events

    def dispatch(
        self,
        lease: int,
        ranges: Iterable[tuple[int, int]],
        function: bytes = b"f" * 16,
        *,
        priority: int = 0,
        tag: float = 0.0,
        retry_on: bytes = b"",
        job: int | None = None,
        timeout: float = 0.0,
        memory_bytes: int = 0,
        definitions: Iterable[bytes] = (),
        needs: Iterable[Need] = (),
        keep_bytes: int = 0,
    ) -> None:
        self.needs[lease] = list(needs)
        self.jobs[lease] = job = lease if job is None else job
        self.timeouts[lease] = timeout
        self.memory_limits[lease] = min(each or 1 << 62 for each in (memory_bytes, self.memory_bytes))
        message = pb.Dispatch(lease=lease, job=job, priority=priority, tag=tag, retry_on=retry_on, timeout=timeout)
        message.keep_bytes = keep_bytes
        message.memory_bytes = self.asked[lease] = memory_bytes
        for lo, hi in ranges:
            ends, payload = packed([b"x"] * (hi - lo))
            message.pieces.append(
                pb.Piece(
                    first=lo,
                    ends=ends,
                    payload=payload,
                    function=function,
                    call=pb.CALL_ITEM,
                    definitions=list(definitions),
                    data=[need.message() for need in self.needs[lease]],
                )
            )
            self.dispatched.update((lease, index) for index in range(lo, hi))
        self.receive(pb.Body(dispatch=message))

    def define(self, hash: bytes, blob: bytes = b"blob") -> None:
        self.blobs[hash] = blob
        self.receive(pb.Body(define=pb.Define(hash=hash, blob=blob)))

    def answer_wants(self) -> None:
        wants, self.wants = self.wants, []
        for hash in wants:
            self.define(hash)

    def join_store(self) -> None:
        self.store.join()
        self.do(self.core.joined_store(pb.JoinStore(store="s"), self.now))

    def answer_locates(self, count: int = 1 << 30, *, lost: bool = False) -> None:
        """The master says where to get what was asked for."""
        asked, self.store.located = self.store.located[:count], self.store.located[count:]
        for need in asked:
            source = pb.Source(need=need.message(), size=1000, lost="its host is gone" if lost else "")
            self.receive(pb.Body(source=source))

    def put(self, need: Need) -> None:
        """Another process of this host writes it, and the master hears of that."""
        self.store.here.add(need)
        for asked in [asked for asked in self.store.located if self.store.has(asked)]:
            self.store.located.remove(asked)
            self.receive(pb.Body(source=pb.Source(need=asked.message(), is_here=True)))

    def transfer(self, count: int = 1 << 30) -> None:
        """What was to be got arrives."""
        arrived, self.store.coming = self.store.coming[:count], self.store.coming[count:]
        for need in arrived:
            self.store.here.add(need)
            self.do(self.core.arrived(need, self.now))

    def forget(self, *ids: bytes) -> None:
        """Nobody needs these, as far as the master knows: it may have been told just now who does."""
        self.receive(pb.Body(forget=pb.Forget(ids=ids)))

    def finish_drops(self) -> None:
        drops, self.store.dropping = self.store.dropping, []
        for ids in drops:
            self.store.remove(ids)
            self.do(self.core.dropped(ids, self.now))

    def revoke(self, number: int, lease: int, ranges: Iterable[tuple[int, int]], *, stop: bool = False) -> None:
        self.revokes[number] = lease
        message = pb.Revoke(revoke=number, lease=lease, stop=stop)
        for lo, hi in ranges:
            message.ranges.add(lo=lo, hi=hi)
            if stop:
                self.unwanted.update((lease, index) for index in range(lo, hi) if (lease, index) not in self.fate)
        self.receive(pb.Body(revoke=message))

    def receive(self, *bodies: pb.Body) -> None:
        self.do(self.core.received(bodies, self.now))

    def step(self, number: int) -> bool:
        slot = self.slots[number]
        if slot is not None and self.prompt and slot.state == "publishing":
            slot.checkpoint()
        return slot is not None and slot.step(self.now, self.late)

    def deliver(self, number: int) -> bool:
        slot = self.slots[number]
        if slot is None or not slot.sent:
            return False
        reports, slot.sent = slot.sent, []
        self.do(self.core.reported(number, reports, self.now))
        return True

    def die(self, number: int, exit_code: int = -9) -> None:
        """The process ends between two of its steps; what it sent arrives, what it had not sent is lost."""
        slot = self.slots[number]
        if slot is None:
            return
        self.late = False
        self.deliver(number)
        running = slot.is_running
        killed = self.core._roster.slots[number].killed
        excused = self.core._roster.slots[number].excused and killed == slot.started.value
        self.excused += excused
        assert bool(killed) == (number in self.doomed)
        self.doomed.discard(number)
        for task in self.runs:
            if task not in self.fate:
                self.losses[task] += 1
        self.last_sight[number] = slot.sight(self.now, late=False)
        self.slots[number] = None
        charged = self._charged()
        self.do(self.core.died(number, exit_code, "last words", self.now))
        is_meant = not killed or killed == slot.started.value
        if running is not None and self.jobs.get(running[0]) is not None:
            is_over = self.draining or running in self.unwanted or (is_meant and not excused)
            assert (running in self.fate) == is_over, f"{running} ran when its slot died"
        # The report of one that was stopped before may have waited for this one.
        assert len(self._charged() - charged - self.stopped) <= is_meant

    def _charged(self) -> set[TaskKey]:
        return {task for task, fate in self.fate.items() if fate in ("crashed", "timed out", "too large")}

    def interrupt(self, *, heeded: bool = True) -> None:
        """The signals arrive; what they are meant for ends, unless it does not heed them."""
        signals, self.signals = self.signals, []
        for number, process, position in signals:
            if process is self.slots[number] and heeded:
                task = process.is_running
                if process.interrupt(position, self.now):
                    assert task is not None
                    assert task in self.unwanted or self.timeouts.get(task[0], 1.0) or task in self.fate
                    self.stopped.add(task)

    def measure(self) -> None:
        """What the core has asked for is told, as it is now; of a dead process nothing."""
        measurements, self.measurements = self.measurements, []
        for number, process, position in measurements:
            if process is self.slots[number]:
                self.do(self.core.measured(number, position, process.used_bytes, self.now))

    def reap(self) -> None:
        """What the core has had killed dies."""
        for number in sorted(self.doomed):
            self.die(number)

    def reset(self) -> None:
        for task in self.dispatched:
            self.fate.setdefault(task, "dropped")
        self.jobs.clear()
        self.revokes.clear()
        self.wants.clear()
        self.store.leave()
        self.do(self.core.reset(self.now))

    def drain(self) -> None:
        self.draining = True
        self.do(self.core.drain(self.now))

    def advance(self, seconds: float) -> None:
        """Let time pass, stopping where the core wants to be called."""
        until = self.now + seconds
        while (due := self.core.next_deadline()) is not None and due <= until:
            self.now = max(self.now, due)
            self.do(self.core.tick(self.now))
        self.now = max(self.now, until)

    # ------------------------------------------------------------ what the core decides

    def _look(self, number: int) -> Sight:
        slot = self.slots[number]
        return self.last_sight[number] if slot is None else slot.sight(self.now, self.late)

    def do(self, commands: list[Command]) -> None:
        if commands:
            self.now += self.lag
        for command in commands:
            match command:
                case Send(body):
                    self.sent.append(body)
                    self._judge(body)
                case Spawn(number):
                    assert self.slots[number] is None
                    assert not self.draining, "a slot is started, though nothing will run in it"
                    keep = partial(self._keep, self.store.spawned(number))
                    self.slots[number] = ModelSlot(
                        self._on_run, self._lasts, self.fails, self.slot_definitions, self.memory, keep
                    )
                case SetLimit(number, limit):
                    if (slot := self.slots[number]) is not None:
                        slot.limit.store(limit, self.now)
                    self.core.limit_set(number, limit, self.now)
                case Feed() | SendCut() | SendDefinition():
                    assert not self.draining or not isinstance(command, Feed), "a draining agent feeds a slot"
                    slot = self.slots[command.slot]
                    assert slot is not None
                    if isinstance(command, Feed):
                        dropped = {id for ids in self.store.dropping for id in ids}
                        assert all(self.store.has(need) and need.id not in dropped for need in command.piece.data)
                    slot.write(command)
                case Interrupt(number, position):
                    process = self.slots[number]
                    assert process is not None
                    assert 0 < position <= process.started.value
                    self.signals.append((number, process, position))
                case Measure(number, position, limit_bytes):
                    process = self.slots[number]
                    assert process is not None
                    assert limit_bytes in self.memory_limits.values()
                    assert all(each is not process for _, each, _ in self.measurements), "one at a time"
                    self.measurements.append((number, process, position))
                case Kill(number):
                    assert self.slots[number] is not None
                    self.doomed.add(number)
                case Transfer(source):
                    self.store.transfer(source)
                case DropData() | DropUnreported():
                    self.store.drop(command)
                case Complain(sentence):
                    self.complaints.append(sentence)
        self.core.check_invariants()

    def _on_run(self, task: TaskKey) -> None:
        # A dropped task may still run: its master is gone.
        assert self.fate.get(task, "dropped") == "dropped", f"{task} runs although it was {self.fate[task]}"
        self.runs[task] += 1
        if task not in self.fate:
            assert self.runs[task] <= 1 + self.losses[task], f"{task} runs twice"

    def _keep(self, prefix: bytes, task: TaskKey) -> bytes | None:
        return self.store.write(prefix, task) if self.keeps(task) else None

    def _lasts(self, task: TaskKey) -> float:
        return self.seconds(task)

    def _judge(self, body: pb.Body) -> None:
        match body.WhichOneof("kind"):
            case "results":
                results = body.results
                assert self.jobs[results.lease] == results.job
                self.store.report(results)
                for index, item in items_of(results.first, results.base, results.ends, results.payload).items():
                    self._end((results.lease, index), "succeeded")
                    assert item == repr((results.lease, index)).encode()
            case "failure":
                task = body.failure.lease, body.failure.index
                if body.failure.kind == pb.Failure.KIND_TIMED_OUT:
                    self._end(task, "timed out")
                    timeout = self.timeouts[task[0]]
                    assert 0.0 < timeout == body.failure.timeout <= body.failure.seconds + 1e-9
                    assert self.runs[task]
                elif body.failure.kind == pb.Failure.KIND_MEMORY_EXCEEDED:
                    self._end(task, "too large")
                    limit = self.memory_limits[task[0]]
                    assert body.failure.limit == ("memory" if limit == self.asked[task[0]] else "--memory")
                    assert body.failure.used_bytes > body.failure.limit_bytes == limit
                    assert SLOT_BYTES + self.memory(task)[0] > (1 - LITTLE) * limit, f"{task} is blamed for others"
                elif body.failure.kind == pb.Failure.KIND_DATA_LOST:
                    self._end(task, "data lost")
                    assert body.failure.data in {need.id for need in self.needs[task[0]]}
                    assert self.runs[task] <= self.losses[task], f"{task} has lost its data, but ran"
                else:
                    self._end(task, "failed")
                    assert body.failure.payload == repr(task).encode()
            case "crash":
                self._end((body.crash.lease, body.crash.index), "crashed")
            case "returned":
                unasked = not body.returned.revoke
                assert unasked or self.revokes.pop(body.returned.revoke) == body.returned.lease
                for given in body.returned.ranges:
                    for index in range(given.lo, given.hi):
                        task = body.returned.lease, index
                        assert self.draining or task in self.unwanted or not unasked, f"{task} was given back unasked"
                        lost = self.losses[task] + (task in self.stopped)
                        assert self.runs[task] <= lost, f"{task} was given back but ran"
                        self._end(task, "returned")
            case "draining":
                assert self.draining
            case "join_store":
                assert self.store.is_joined
            case "locate":
                self.store.locate(body.locate)
            case "data_here":
                assert all(self.store.has(Need.of(need)) for need in body.data_here.needs)
            case "want":
                self.wants += body.want.hashes
            case kind:
                raise AssertionError(kind)

    def _end(self, task: TaskKey, fate: str) -> None:
        assert task in self.dispatched
        assert task not in self.fate, f"{task} is {fate} although it was {self.fate[task]}"
        self.fate[task] = fate

    # ------------------------------------------------------------ running on

    def hurry(self) -> None:
        """Tasks that start from now on take no time to speak of."""
        self.seconds = lambda _: 1e-6

    def settle(self, number: int) -> None:
        """Let one slot go on as far as it can without time passing."""
        while self.step(number) or self.deliver(number):
            pass

    def settle_all(self) -> None:
        for number in range(len(self.slots)):
            self.settle(number)

    def provide(self) -> None:
        """What the core has asked for comes."""
        self.answer_wants()
        if not self.store.is_joined:
            self.join_store()
        self.finish_drops()
        self.answer_locates()
        self.transfer()

    def run_until_quiet(self, limit: float = 60.0) -> None:
        """Let everything go on until nothing is left to do."""
        until = self.now + limit
        self.late = False
        self.lag = 0.0
        self.prompt = True
        while True:
            self.provide()
            self.interrupt()
            self.measure()
            self.reap()
            self.settle_all()
            times = [slot.ends_at for slot in self.slots if slot is not None and slot.state == "running"]
            due = self.core.next_deadline()
            if due is not None:
                times.append(due)
            times = [time for time in times if time > self.now]
            if not times and due is None and not self.store.is_busy:
                break
            assert self.now < until, f"not quiet after {limit} s: {self.story()}"
            self.advance(max(1e-6, min(times, default=self.now) - self.now))
        assert not self.held(), self.story()
        assert not self.core.has_work
        assert not self.core.running
        assert not self.revokes
        assert set(self.store.results) == set(self.store.reported), "what nobody knows of is left in the store"

    def story(self) -> str:
        held = sorted(self.held())
        states = [None if slot is None else (slot.state, slot.position, len(slot.pipe)) for slot in self.slots]
        return f"{len(held)} held, {held[:5]}; slots {states}; {self.core.unstarted} unstarted"

    def held(self) -> set[TaskKey]:
        return {task for task in self.dispatched if task not in self.fate}
