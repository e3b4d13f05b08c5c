"""Run as a program: what users define in `__main__` and beside it, sent to a real cluster. One case a function.

Prints {case: traceback or ""} as JSON. See test_values.py.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import enum
import functools
import importlib
import json
import math
import operator
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from manyhands import Client, errors

client = Client(slots=2)
TIMEOUT = 20


@dataclass
class Point:
    x: int

    def moved(self, by: int = 1) -> Point:
        return Point(self.x + by)

    @classmethod
    def at(cls, x: int) -> Point:
        return cls(x)

    @staticmethod
    def twice(x: int) -> int:
        return 2 * x


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Pair(NamedTuple):
    a: int
    b: str


class Own(Exception):
    def __init__(self, text: str, code: int) -> None:
        super().__init__(text, code)
        self.code = code


class Adder:
    """Callable, with state."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.calls = 0

    def __call__(self, n: int) -> tuple[int, int]:
        self.calls += 1
        return n + self.step, self.calls


def even(n: int) -> bool:
    return True if n == 0 else odd(n - 1)


def odd(n: int) -> bool:
    return False if n == 0 else even(n - 1)


@functools.lru_cache
def fib(n: int) -> int:
    return n if n < 2 else fib(n - 1) + fib(n - 2)


async def later(n: int) -> int:
    await asyncio.sleep(0.001)
    return n + 1


def run(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return client.submit(function, *args, **kwargs).result(TIMEOUT)


# ------------------------------------------------------------ values


def case_own_classes_come_back_as_themselves() -> None:
    def look(point: Point, colour: Colour, pair: Pair) -> tuple[bool, Point, Colour, Pair]:
        right = isinstance(point, Point) and colour is Colour.RED and isinstance(pair, Pair)
        return right, point.moved(), Colour.BLUE, Pair(pair.a + 1, "y")

    right, point, colour, pair = run(look, Point(1), Colour.RED, Pair(1, "x"))
    assert right
    assert isinstance(point, Point)
    assert point == Point(2)
    assert colour is Colour.BLUE
    assert isinstance(pair, Pair)
    assert pair == Pair(2, "y")
    moved = list(client.map(Point.moved, [Point(n) for n in range(100)]))
    assert moved == [Point(n + 1) for n in range(100)]
    assert all(type(each) is Point for each in moved)


def case_local_classes_too() -> None:
    class Local:
        def __init__(self, n: int) -> None:
            self.n = n

    made = run(Local, 5)
    assert type(made) is Local
    assert made.n == 5
    assert [type(each) for each in client.map(lambda each: each, [Local(1), Local(2)])] == [Local, Local]


def case_own_exceptions_come_back_as_themselves() -> None:
    def fail() -> None:
        raise Own("mine", 7)

    try:
        run(fail)
    except Own as error:
        assert error.code == 7
        assert isinstance(error.__cause__, errors.RemoteTraceback)
        assert "in fail" in str(error.__cause__)
    else:
        raise AssertionError("nothing was raised")


def case_arguments_are_those_of_the_call() -> None:
    array = np.zeros(1000)
    futures = []
    for value in range(5):
        array[:] = value
        futures.append(client.submit(np.sum, array))
    assert [future.result(TIMEOUT) for future in futures] == [0, 1000, 2000, 3000, 4000]
    rows = [[n] for n in range(100)]
    results = client.map(sum, rows)
    for row in rows:
        row[0] = -1
    rows.clear()
    assert list(results) == list(range(100))


def case_tasks_do_not_share_what_they_change() -> None:
    def grow(values: list[int]) -> int:
        values.append(0)
        return len(values)

    values = [1]
    assert list(client.map(grow, [values] * 50)) == [2] * 50
    assert values == [1]


# ------------------------------------------------------------ callables


def case_plain_functions() -> None:
    assert run(even, 10)
    assert run(odd, 7)
    assert run(fib, 30) == 832040
    assert run(lambda x, *, y: x * y, 3, y=4) == 12
    base = 100
    assert list(client.map(lambda n: base + n, range(3))) == [100, 101, 102]


def case_methods_and_objects() -> None:
    adder = Adder(10)
    assert run(Point(3).moved, by=4) == Point(7)
    assert run(Point.at, 4) == Point(4)
    assert run(Point.twice, 4) == 8
    assert run(Point, 9) == Point(9)
    assert list(client.map(Point.at, range(3))) == [Point(0), Point(1), Point(2)]
    assert run(adder, 1) == (11, 1)
    assert list(client.map(adder, range(3))) == [(10, 1), (11, 1), (12, 1)], "each task has the object as it was"
    assert adder.calls == 0
    assert run(functools.partial(Point.moved, by=9), Point(1)) == Point(10)
    assert list(client.map(functools.partial(pow, 2), range(5))) == [1, 2, 4, 8, 16]


def case_coroutines() -> None:
    assert run(later, 1) == 2
    assert list(client.map(later, range(50))) == list(range(1, 51))
    assert run(functools.partial(later, 4)) == 5


def case_the_librarys_callables() -> None:
    assert run(sorted, [3, 1]) == [1, 3]
    assert run(str.upper, "a") == "A"
    assert run([5, 6].index, 6) == 1
    assert run(", ".join, ["b", "c"]) == "b, c"
    assert run(dict.fromkeys, [1]) == {1: None}
    assert run(math.sqrt, 4) == 2
    assert run(int, "3") == 3
    assert run(operator.itemgetter(1), [5, 6]) == 6
    assert run(np.add.reduce, [1, 2, 3]) == 6
    assert list(client.map(np.add, [1, 2], [3, 4])) == [4, 6]
    assert run(np.random.default_rng(1).normal) == np.random.default_rng(1).normal()


def case_a_generator_function_cannot_return() -> None:
    def numbers() -> Iterator[int]:
        yield 1

    try:
        run(numbers)
    except errors.ResultEncodeError as error:
        assert "list(...)" in str(error)
    else:
        raise AssertionError("nothing was raised")


# ------------------------------------------------------------ code that changes


FACTOR = 2


def scaled(n: int) -> int:
    return n * FACTOR


def case_globals_are_those_of_the_call() -> None:
    global FACTOR
    futures = []
    for value in (2, 5, 7):
        FACTOR = value
        futures.append(client.submit(scaled, 10))
    assert [future.result(TIMEOUT) for future in futures] == [20, 50, 70]
    FACTOR = 3
    results = client.map(scaled, range(3))
    FACTOR = 100
    assert list(results) == [0, 3, 6]


TABLE = {"a": 1}
WEIGHTS = np.ones(10)


def looked_up() -> tuple[dict[str, int], float]:
    return TABLE, float(WEIGHTS.sum())


def case_also_what_is_changed_inside_them() -> None:
    assert run(looked_up) == ({"a": 1}, 10)
    TABLE["b"] = 2
    WEIGHTS[0] = 91
    assert run(looked_up) == ({"a": 1, "b": 2}, 100)


def case_a_task_does_not_change_the_clients_globals() -> None:
    def change() -> int:
        global FACTOR
        FACTOR = -1
        return FACTOR

    before = FACTOR
    assert run(change) == -1
    assert before == FACTOR


def case_a_function_defined_again_runs_as_the_new_one() -> None:
    """As when a notebook's cell is run again."""
    cell = "def answer(n):\n    return helper(n) + {0}\ndef helper(n):\n    return n * {0}\n"
    answers = []
    for version in (1, 10, 1, 100):
        exec(cell.format(version), globals())
        answers.append(run(globals()["answer"], 1))
        answers.extend(client.map(globals()["answer"], [1]))
    assert answers == [2, 2, 20, 20, 2, 2, 200, 200]


def case_a_class_defined_again_too() -> None:
    cell = "class Cell:\n    def __init__(self, n): self.n = n\n    def value(self): return self.n * {}\n"
    for version in (1, 10):
        exec(cell.format(version), globals())
        cls = globals()["Cell"]
        assert run(lambda each: each.value(), cls(3)) == 3 * version
        assert type(run(cls, 3)) is cls


def module(name: str, text: str, folder: Path | None = None) -> ModuleType:
    ((folder or Path.cwd()) / f"{name}.py").write_text(text)
    importlib.invalidate_caches()
    if name in sys.modules:
        return importlib.reload(sys.modules[name])
    return importlib.import_module(name)


def case_local_modules() -> None:
    sys.path.insert(0, str(Path.cwd()))
    sys.dont_write_bytecode = True  # two versions within a second would share their bytecode
    module("spice", "AMOUNT = 1\ndef add(n):\n    return n + AMOUNT\nclass Salt:\n    grams = AMOUNT\n")
    dish = module("dish", "import spice\ndef cook(n):\n    return spice.add(n)\n")
    assert run(dish.cook, 1) == 2
    assert run(lambda: dish.cook(1)) == 2
    spice = module("spice", "AMOUNT = 50\ndef add(n):\n    return n + AMOUNT\nclass Salt:\n    grams = AMOUNT\n")
    assert run(dish.cook, 1) == 51
    assert list(client.map(dish.cook, range(3))) == [50, 51, 52]
    assert run(lambda salt: salt.grams, spice.Salt()) == 50
    assert type(run(spice.Salt)) is spice.Salt


def case_a_module_that_the_worker_lacks() -> None:
    """Neither local nor installed: the tasks that need it fail, and no others."""
    with tempfile.TemporaryDirectory(prefix="elsewhere-") as folder:
        sys.path.append(folder)
        far = module("far_away", "def f(n):\n    return n\nclass Thing:\n    pass\n", Path(folder))
        failed, fine = client.submit(far.f, 1), client.submit(abs, -1)
        error = failed.exception(TIMEOUT)
        assert isinstance(error, errors.RemoteModuleError), error
        assert isinstance(error, ModuleNotFoundError)
        assert "far_away" in str(error)
        assert fine.result(TIMEOUT) == 1
        seen: list[str] = []
        try:
            seen.extend(client.map(str, [1, 2, far.Thing(), 4]))
        except errors.RemoteModuleError as lacking:
            assert "far_away" in str(lacking)
        assert seen == ["1", "2"]
        futures = [client.submit(type, each) for each in (1, far.Thing(), 2)]
        concurrent.futures.wait(futures, TIMEOUT)
        assert [type(future.exception()) for future in futures] == [type(None), errors.RemoteModuleError, type(None)]


# ------------------------------------------------------------ what must not travel


def case_what_belongs_to_the_client_is_refused() -> None:
    future = client.submit(abs, -1)
    wrong = [client, future, client.map(abs, [1]), {"deep": [future]}, asyncio.run(make_async_client())]
    for each in wrong:
        try:
            run(str, each)
        except TypeError as error:
            assert "cannot be sent to a task" in str(error)
        else:
            raise AssertionError(each)
    try:
        run(lambda: (future.result(), 1))
    except TypeError as error:
        assert "variable 'future'" in str(error)
        assert "pass its result()" in str(error)
    else:
        raise AssertionError("a future in a closure")
    assert future.result() == 1


async def make_async_client() -> Any:
    from manyhands import AsyncClient

    return AsyncClient("nowhere:1")


def case_a_client_inside_a_task_is_refused() -> None:
    def nested() -> int:
        with Client() as inner:
            return inner.submit(pow, 2, 3).result()

    error = client.submit(nested).exception(TIMEOUT)
    assert isinstance(error, errors.NestedClient), error


def main() -> None:
    results = {}
    for name, case in list(globals().items()):
        if name.startswith("case_"):
            try:
                case()
            except BaseException:
                results[name] = traceback.format_exc()
            else:
                results[name] = ""
    client.shutdown()
    print(json.dumps(results))


main()
