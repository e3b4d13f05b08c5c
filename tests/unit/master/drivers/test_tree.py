"""The tree of a reduction: one shape, whatever order its leaves arrive in, and whatever is lost with the master."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.builders import make_results

from manyhands.master.drivers.driver import Command, Deliver, Driver, Drop, Finish, Keep, Phase, Reject, Run
from manyhands.master.drivers.heap import Heap
from manyhands.master.drivers.tree import FAN_IN, Tree, inner_nodes, name_of, node_of
from manyhands.protos import manyhands_pb2 as pb
from manyhands.worker.slot_folds import combine, pickles


@dataclass
class Master:
    """Runs a driver: keeps its rows, does its tasks when told to; any two results are reduced to "(a+b)"."""

    driver: Driver
    rows: dict[int, pb.Results] = field(default_factory=dict)
    running: dict[int, Run] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)
    total: int | None = None
    result: str | None = None
    tasks: int = 0

    def do(self, commands: Sequence[Command]) -> None:
        assert self.result is None
        for command in commands:
            match command:
                case Run():
                    assert command.name not in self.running
                    self.running[command.name] = command
                case Keep():
                    assert command.key not in self.rows
                    self.rows[command.key] = command.results
                case Drop():
                    for key in command.keys:
                        del self.rows[key]
                case Deliver():
                    assert command.index == 0
                    self.result = pickle.loads(command.results.payload)
                case Finish():
                    assert self.result is not None
        if self.result is None:
            self.driver.check_invariants()  # type: ignore[attr-defined]

    def leaves(self, lo: int, hi: int) -> None:
        self.done.update(range(lo, hi))
        self.do(self.driver.leaves(make_results(0, 0, lo, [pickle.dumps(str(leaf)) for leaf in range(lo, hi)], 0.0)))

    def run(self, name: int) -> None:
        task = self.running.pop(name)
        self.tasks += 1
        answer = combine(lambda a, b: f"({a}+{b})", pickles(task.item, pickle.load))
        self.do(self.driver.task(name, make_results(0, 0, self.tasks, [pickle.dumps(answer)], 0.0)))

    def seal(self, total: int) -> None:
        self.total = total
        self.do(self.driver.sealed(total))

    def restart(self) -> None:
        """The rows are there again, and nothing else."""
        self.driver = type(self.driver)()
        self.running.clear()
        self.do(self.driver.restored(list(self.rows.items()), len(self.done), self.total))


def expected(total: int) -> str:
    level = [str(leaf) for leaf in range(total)]
    while len(level) > 1:
        groups = [level[lo : lo + FAN_IN] for lo in range(0, len(level), FAN_IN)]
        level = [combine(lambda a, b: f"({a}+{b})", iter(group)) for group in groups]
    return level[0]


totals = st.one_of(st.integers(1, 40), st.sampled_from([255, 256, 257, 272, 273, 300]))


@given(st.data(), totals)
@settings(max_examples=100, deadline=None)
def test_one_shape_whatever_happens(data: st.DataObject, total: int) -> None:
    master = Master(Tree())
    runs = []
    lo = 0
    while lo < total:
        hi = min(total, lo + data.draw(st.sampled_from([1, 2, 5, 16, 50])))
        runs.append((lo, hi))
        lo = hi
    todo = data.draw(st.permutations([*runs, "seal"]))
    restarts = data.draw(st.integers(0, 3))
    while todo or master.running:
        if restarts and data.draw(st.integers(0, 9)) == 0:
            restarts -= 1
            master.restart()
        elif master.running and (not todo or data.draw(st.booleans())):
            master.run(data.draw(st.sampled_from(sorted(master.running))))
        else:
            step = todo.pop()
            if step == "seal":
                master.seal(total)
            else:
                master.leaves(*step)
    assert master.result == expected(total)
    assert master.tasks == inner_nodes(total), "nothing is computed twice"
    assert master.driver.phases(total) == [Phase("map", total, total), Phase("combine", *[inner_nodes(total)] * 2)]


@given(st.data(), st.integers(1, 60))
@settings(max_examples=50, deadline=None)
def test_without_an_order_each_leaf_counts_once(data: st.DataObject, total: int) -> None:
    master = Master(Heap())
    todo = data.draw(st.permutations([*range(total), None]))
    restarts = data.draw(st.integers(0, 3))
    while todo or master.running:
        if restarts and data.draw(st.integers(0, 9)) == 0:
            restarts -= 1
            master.restart()
        elif master.running and (not todo or data.draw(st.booleans())):
            master.run(data.draw(st.sampled_from(sorted(master.running))))
        else:
            leaf = todo.pop()
            if leaf is None:
                master.seal(total)
            else:
                master.leaves(leaf, leaf + 1)
    assert master.result is not None
    leaves = master.result.replace("(", "").replace(")", "").split("+")
    assert sorted(map(int, leaves)) == list(range(total))
    assert master.driver.phases(total)[0] == Phase("map", total, total)


@pytest.mark.parametrize("driver", [Tree, Heap])
def test_nothing_is_rejected(driver: type[Tree | Heap]) -> None:
    (command,) = driver().sealed(0)
    assert isinstance(command, Reject)


def test_data_of_partial_results_are_named() -> None:
    tree = Tree()
    results = make_results(0, 0, 0, [b"N."] * FAN_IN, 0.0)
    results.stored.add(index=3, id=b"i" * 16, size=10)
    commands = tree.leaves(results)
    (run,) = [command for command in commands if isinstance(command, Run)]
    assert run.data == (pb.DataNeed(id=b"i" * 16),)
    assert run.item == b"N." * FAN_IN


@given(st.integers(0, 5), st.integers(0, (1 << 56) - 1))
def test_names(level: int, place: int) -> None:
    assert node_of(name_of(level, place)) == (level, place)
    assert name_of(level, place) < 1 << 62
