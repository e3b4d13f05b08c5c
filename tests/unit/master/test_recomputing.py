"""What is computed again: in order, once, only while somebody needs it, and what cannot be says why."""

from __future__ import annotations

from array import array

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from manyhands.master.data import DataRegistry, Datum
from manyhands.master.definitions import HeldBlock
from manyhands.master.events import JobOptions
from manyhands.master.recipes import OVERHEAD_BYTES, Recipe, RecipeRoom, note
from manyhands.master.recomputing import Recomputing
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.blocks import Block, pack_ends

HOST = "host"


class World:
    """A master without scheduler: jobs are run when a test says so."""

    def __init__(self, room_bytes: int = 1 << 30) -> None:
        self.room = RecipeRoom(room_bytes)
        self.registry = DataRegistry(lambda datum: self.recomputing.gone(datum.id))
        self.jobs: dict[int, Recipe] = {}
        self.stopped: list[int] = []
        self.started = 0
        self.recomputing = Recomputing(self.registry.get, self.revive, self.start, self.stop, self.lose_for_good)

    def revive(self, recipe: Recipe) -> Datum:
        datum = self.registry.add(recipe.id, recipe.size)
        datum.recipe = recipe
        return datum

    def start(self, recipe: Recipe, inputs: tuple[Datum, ...]) -> int:
        assert all(each.is_available for each in inputs)
        self.started += 1
        self.jobs[self.started] = recipe
        return self.started

    def stop(self, job: int) -> None:
        del self.jobs[job]
        self.stopped.append(job)

    def lose_for_good(self, datum: Datum, reason: str) -> None:
        assert not datum.is_available
        assert not datum.lost
        datum.lost = reason
        self.recomputing.changed(datum.id)

    # ------------------------------------------------------------ what happens

    def put(self, name: str) -> Datum:
        datum = self.registry.add(name.encode(), 10)
        datum.is_kept = True
        return datum

    def compute(self, name: str, *inputs: Datum) -> Datum:
        datum = self.registry.add(name.encode(), 10)
        datum.stores.add(HOST)
        block = Block(3, 0, pack_ends(array("I", [1, 3])), b"abb", b"", pb.CALL_APPLY)
        note(datum, HeldBlock.of(block, (), inputs), 4, JobOptions(), (), self.room)
        return datum

    def host_lost(self, *data: Datum) -> None:
        for datum in data:
            datum.stores.discard(HOST)
        for datum in data:
            if not (datum.is_available or datum.lost or self.recomputing.begin(datum, "its host is gone")):
                self.lose_for_good(datum, "its host is gone")

    def run(self, job: int) -> None:
        recipe = self.jobs.pop(job)
        self.recomputing.computed(job, recipe.id)
        datum = self.registry.get(recipe.id)
        assert datum is not None
        datum.stores.add(HOST)
        self.recomputing.changed(datum.id)

    def run_all(self) -> list[str]:
        ran = []
        while self.jobs:
            job = min(self.jobs)
            ran.append(self.jobs[job].id.decode())
            self.run(job)
            self.recomputing.check_invariants()
        return ran


def test_a_recipe_is_of_one_task_at_its_index() -> None:
    world = World()
    given = world.put("given")
    recipe = world.compute("a", given).recipe
    assert recipe is not None
    assert (recipe.block.first, recipe.block.payload, recipe.block.count) == (4, b"bb", 1)
    assert recipe.inputs == (given,)
    assert recipe.block.data == ()
    assert world.room.used_bytes == OVERHEAD_BYTES + 2
    del recipe
    assert not world.room.used_bytes


def test_without_room_there_is_no_recipe() -> None:
    world = World(OVERHEAD_BYTES + 2)
    first, second = world.compute("a"), world.compute("b")
    assert first.recipe is not None
    assert second.recipe is None
    world.host_lost(first, second)
    assert second.lost == "its host is gone"
    assert world.run_all() == ["a"]


def test_what_it_takes_comes_first_and_once() -> None:
    world = World()
    root = world.compute("root", world.put("given"))
    left, right = world.compute("left", root), world.compute("right", root)
    top = world.compute("top", left, right)
    del root, left, right  # nobody needs these: their recipes are the top's
    assert [datum.id for datum in world.registry.all()] == [b"given", b"top"]
    world.host_lost(top)
    assert list(world.jobs.values()) == [top.recipe.inputs[0].inputs[0]]  # type: ignore[union-attr]
    ran = world.run_all()
    assert (ran[0], sorted(ran[1:3]), ran[3:]) == ("root", ["left", "right"], ["top"])
    assert top.is_available
    assert sorted(datum.id for datum in world.registry.all()) == [b"given", b"top"]


def test_the_reason_names_what_began_it() -> None:
    world = World()
    given = world.put("given")
    last = world.compute("c", world.compute("b", world.compute("a", given)))
    given.is_kept = False
    given.lost = "its disk is full"
    world.host_lost(last)
    assert last.lost == (
        "its host is gone; and it cannot be computed again: "
        f"the datum {given.id.hex()}, which that takes, is lost: its disk is full"
    )
    assert not world.started
    world.recomputing.check_invariants()


def test_a_task_that_fails_this_time() -> None:
    world = World()
    last = world.compute("b", world.compute("a"))
    world.host_lost(last)
    ((job, recipe),) = world.jobs.items()
    del world.jobs[job]
    world.recomputing.failed(job, recipe.id, "raised")
    cause = f"the task that computes {b'a'.hex()} raised"
    assert last.lost == f"its host is gone; and it cannot be computed again: {cause}"
    world.recomputing.check_invariants()


def test_what_nobody_needs_is_stopped() -> None:
    world = World()
    last = world.compute("b", world.compute("a"))
    world.host_lost(last)
    assert len(world.jobs) == 1
    del last
    assert not world.jobs
    assert not world.registry.all()
    assert not world.room.used_bytes


def test_a_host_that_comes_back_ends_it() -> None:
    world = World()
    last = world.compute("b", world.compute("a"))
    world.host_lost(last)
    last.stores.add(HOST)
    world.recomputing.changed(last.id)
    assert not world.jobs
    assert [datum.id for datum in world.registry.all()] == [b"b"]


def test_a_long_chain() -> None:
    world = World()
    datum = world.compute("0")
    for number in range(1, 5_000):
        datum = world.compute(str(number), datum)
    assert len(world.registry.all()) == 1
    world.host_lost(datum)
    assert len(world.jobs) == 1
    while world.jobs:
        world.run(min(world.jobs))
    assert world.started == 5_000
    assert len(world.registry.all()) == 1
    world.host_lost(datum)
    del datum
    assert not world.jobs
    assert not world.registry.all()
    assert not world.room.used_bytes


class Losses(RuleBasedStateMachine):
    """Data computed from one another, hosts lost at any moment: who is held is had, or lost because of a put one."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.held: dict[str, Datum] = {}
        self.count = 0

    def _pick(self, data: st.DataObject) -> Datum:
        return self.held[data.draw(st.sampled_from(sorted(self.held)))]

    @rule()
    def put(self) -> None:
        self.count += 1
        self.held[f"put-{self.count}"] = self.world.put(f"put-{self.count}")

    @precondition(lambda self: self.held)
    @rule(data=st.data(), arity=st.integers(0, 3))
    def compute(self, data: st.DataObject, arity: int) -> None:
        inputs = [self._pick(data) for _ in range(arity)]
        if all(each.is_available for each in inputs):
            self.count += 1
            self.held[f"r{self.count}"] = self.world.compute(f"r{self.count}", *inputs)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        del self.held[data.draw(st.sampled_from(sorted(self.held)))]

    @rule()
    def lose_host(self) -> None:
        self.world.host_lost(*[datum for datum in self.world.registry.all() if HOST in datum.stores])

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def lose_one(self, data: st.DataObject) -> None:
        datum = self._pick(data)
        if HOST in datum.stores:
            self.world.host_lost(datum)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def find_again(self, data: st.DataObject) -> None:
        datum = self._pick(data)
        if not datum.lost and not datum.is_available:
            datum.stores.add(HOST)
            self.world.recomputing.changed(datum.id)

    @precondition(lambda self: self.world.jobs)
    @rule(data=st.data())
    def run_one(self, data: st.DataObject) -> None:
        self.world.run(data.draw(st.sampled_from(sorted(self.world.jobs))))

    @precondition(lambda self: self.world.jobs)
    @rule(data=st.data())
    def fail_one(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(sorted(self.world.jobs)))
        self.world.recomputing.failed(job, self.world.jobs.pop(job).id, "raised")

    @invariant()
    def is_sound(self) -> None:
        self.world.recomputing.check_invariants()
        recipes = [recipe.id for recipe in self.world.jobs.values()]
        assert len(recipes) == len(set(recipes))

    def teardown(self) -> None:
        self.world.run_all()
        assert all(datum.is_available or datum.lost for datum in self.held.values())
        self.held.clear()
        assert not self.world.registry.all()
        assert not self.world.room.used_bytes


TestLosses = Losses.TestCase
TestLosses.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
