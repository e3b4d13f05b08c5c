"""The core under any sequence of events, with slots that obey the page protocol in any interleaving."""

from __future__ import annotations

from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from tests.support.builders import hashed
from tests.unit.worker.agent_model import AgentModel
from tests.unit.worker.model_slot import TaskKey

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.needs import Need

FUNCTIONS = [hashed(name) for name in "fgh"]
NEEDS = [Need(hashed("d")), Need(hashed("e")), Need(hashed("p"), 0, 10), Need(hashed("p"), 10, 5), Need(hashed("p"))]
DURATIONS = [0.0, 1e-6, 1e-5, 0.001, 0.003, 0.02, 0.3, 0.3]
SIZES = st.lists(st.sampled_from([1, 1, 2, 7, 40, 300]), min_size=1, max_size=4)
WORK = st.fixed_dictionaries(
    {
        "function": st.sampled_from(FUNCTIONS),
        "priority": st.sampled_from([0, 0, 1]),
        "tag": st.sampled_from([0.0, 0.0, 1.5]),
        "retry_on": st.sampled_from([b"", b"", hashed("errors")]),
        "timeout": st.sampled_from([0.0, 0.0, 0.002, 0.05]),
        "memory_bytes": st.sampled_from([0, 100, 150]),
        "definitions": st.lists(st.sampled_from([hashed("a"), hashed("b")]), max_size=2, unique=True),
        "needs": st.just([]) | st.lists(st.sampled_from(NEEDS), max_size=3, unique=True),
        "keep_bytes": st.sampled_from([0, 1]),
    }
)


class AgentMachine(RuleBasedStateMachine):
    """Time moves only by rules, so that a slot may be anywhere when the agent looks."""

    @initialize(
        slots=st.integers(1, 4),
        speeds=st.lists(st.sampled_from(DURATIONS), min_size=1, max_size=5),
        failing=st.integers(2, 9),
        store_bytes=st.sampled_from([1 << 20, 5]),
        slot_definitions=st.sampled_from([1000, 4]),
        sizes=st.lists(st.tuples(st.sampled_from([0, 50, 200]), st.sampled_from([0, 60])), min_size=1, max_size=4),
        memory_bytes=st.sampled_from([0, 0, 150]),
        keeping=st.sampled_from([1, 2, 1000]),
        first=st.tuples(SIZES, WORK),
    )
    def begin(
        self,
        slots: int,
        speeds: list[float],
        failing: int,
        store_bytes: int,
        slot_definitions: int,
        sizes: list[tuple[int, int]],
        memory_bytes: int,
        keeping: int,
        first: tuple[list[int], dict[str, Any]],
    ) -> None:
        def keeps(task: TaskKey) -> bool:
            return hash(task) // 3 % keeping == 0

        def seconds(task: TaskKey) -> float:
            return speeds[hash(task) % len(speeds)]

        def fails(task: TaskKey) -> bool:
            return hash(task) % failing == 1

        def memory(task: TaskKey) -> tuple[int, int]:
            return sizes[hash(task) // 7 % len(sizes)]

        self.model = AgentModel(slots, seconds, fails, store_bytes, slot_definitions, memory, memory_bytes, keeps)
        self.leases: list[int] = []
        self.next = 1
        self.dispatch(first[0], 0, first[1])

    @rule(sizes=SIZES, gap=st.integers(0, 3), work=WORK)
    def dispatch(self, sizes: list[int], gap: int, work: dict[str, Any]) -> None:
        lease, self.next = self.next, self.next + 1
        self.leases.append(lease)
        ranges, lo = [], 0
        for size in sizes:
            ranges.append((lo, lo + size))
            lo += size + gap
        self.model.dispatch(lease, ranges, **work)

    @precondition(lambda self: self.leases)
    @rule(
        pick=st.integers(0, 1 << 16),
        ranges=st.lists(st.tuples(st.integers(0, 320), st.integers(1, 400)), max_size=3),
        stop=st.booleans(),
    )
    def revoke(self, pick: int, ranges: list[tuple[int, int]], stop: bool) -> None:
        number, self.next = self.next, self.next + 1
        lease = self.leases[pick % len(self.leases)]
        self.model.revoke(number, lease, [(lo, lo + count) for lo, count in ranges], stop=stop)

    @rule(slot=st.integers(0, 3), steps=st.integers(1, 12), late=st.booleans())
    def step(self, slot: int, steps: int, late: bool) -> None:
        self.model.late = late
        number = slot % len(self.model.slots)
        for _ in range(steps):
            if not self.model.step(number):
                break

    @rule(slot=st.integers(0, 3))
    def checkpoint(self, slot: int) -> None:
        target = self.model.slots[slot % len(self.model.slots)]
        if target is not None:
            target.checkpoint()

    @rule(slot=st.integers(0, 3))
    def deliver(self, slot: int) -> None:
        self.model.deliver(slot % len(self.model.slots))

    @rule(slot=st.integers(0, 3))
    def settle(self, slot: int) -> None:
        self.model.settle(slot % len(self.model.slots))

    @rule(seconds=st.sampled_from([1e-6, 1e-4, 4e-4, 0.0011, 0.004, 0.011, 0.4]), late=st.booleans())
    def advance(self, seconds: float, late: bool) -> None:
        self.model.late = late
        self.model.advance(seconds)

    @rule(seconds=st.sampled_from([0.0, 0.002]))
    def lag(self, seconds: float) -> None:
        self.model.lag = seconds

    @rule(slot=st.integers(0, 3))
    def kill(self, slot: int) -> None:
        self.model.die(slot % len(self.model.slots))

    @rule(heeded=st.sampled_from([True, True, False]))
    def interrupt(self, heeded: bool) -> None:
        self.model.interrupt(heeded=heeded)

    @rule(seconds=st.sampled_from([0.0, 0.06, 0.06]), settle=st.booleans())
    def measure(self, seconds: float, settle: bool) -> None:
        """Long enough, and slots that run something, or the core would hardly ever want to know."""
        if settle:
            self.model.provide()
            self.model.settle_all()
        self.model.advance(seconds)
        self.model.measure()

    @rule(seconds=st.sampled_from([0.0, 0.003, 0.3]), slot=st.integers(0, 3), steps=st.integers(0, 12))
    def run(self, seconds: float, slot: int, steps: int) -> None:
        """All that is asked for comes, and slots go on, one of them further: by the other rules that takes many."""
        self.model.provide()
        self.model.settle_all()
        self.model.advance(seconds)
        self.step(slot, steps, late=False)

    @rule()
    def reap(self) -> None:
        self.model.reap()

    @rule()
    def answer_wants(self) -> None:
        self.model.answer_wants()

    @rule(what=st.sampled_from(["join", "find", "lose", "transfer", "drop"]), count=st.integers(1, 3))
    def move_data(self, what: str, count: int) -> None:
        if what == "join" and not self.model.store.is_joined:
            self.model.join_store()
        elif what == "transfer":
            self.model.transfer(count)
        elif what == "drop":
            self.model.finish_drops()
        else:
            self.model.answer_locates(count, lost=what == "lose")

    @rule(put=st.lists(st.sampled_from(NEEDS), max_size=1), forgotten=st.lists(st.sampled_from(NEEDS), max_size=2))
    def change_data(self, put: list[Need], forgotten: list[Need]) -> None:
        for need in put:
            self.model.put(need)
        self.model.forget(*(need.id for need in forgotten))

    @rule(interval=st.sampled_from([0.0, 0.005, 0.125]))
    def tune(self, interval: float) -> None:
        self.model.receive(pb.Body(tuning=pb.Tuning(flush_interval=interval)))

    @rule(chance=st.integers(0, 7))
    def reset(self, chance: int) -> None:
        if chance == 0:
            self.model.reset()

    @rule(chance=st.integers(0, 7))
    def drain(self, chance: int) -> None:
        if chance == 0 and not self.model.draining:
            self.model.drain()

    def teardown(self) -> None:
        if hasattr(self, "model"):
            self.model.hurry()
            self.model.run_until_quiet(limit=600.0)


TestAgentMachine = AgentMachine.TestCase
TestAgentMachine.settings = settings(max_examples=100, stateful_step_count=50, deadline=None, phases=[Phase.generate])
