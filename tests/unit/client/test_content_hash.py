"""Content hashes: equal for equal content in every process, different for everything that could change a result."""

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import functools
import io
import json
import logging
import os
import random
import re
import subprocess
import sys
import textwrap
import threading
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyhands.client.content_hash import definition_digest, value_digest

ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=80)
)
HASHABLE = st.recursive(ATOMS, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=4), max_leaves=6)
VALUES = st.recursive(
    HASHABLE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(HASHABLE, inner, max_size=4) | st.sets(HASHABLE),
    max_leaves=12,
)


def rebuilt(value: Any) -> Any:
    """Equal, but built in another order and of other objects."""
    if isinstance(value, (list, tuple)):
        return type(value)([rebuilt(each) for each in value])
    if isinstance(value, dict):
        return {rebuilt(key): rebuilt(each) for key, each in value.items()}
    if isinstance(value, (set, frozenset)):
        return type(value)(sorted(map(rebuilt, value), key=repr, reverse=True))
    if isinstance(value, str):
        return "".join(list(value))
    return value


@given(VALUES)
def test_equal_content_has_one_hash(value: Any) -> None:
    assert value_digest(rebuilt(value)) == value_digest(value)


def shape(value: Any) -> Any:
    """Equal for two values if, and only if, they are the same in types, content and order."""
    if isinstance(value, (list, tuple)):
        return type(value).__name__, tuple(map(shape, value))
    if isinstance(value, dict):
        return "dict", tuple((shape(key), shape(each)) for key, each in value.items())
    if isinstance(value, (set, frozenset)):
        return type(value).__name__, frozenset(map(shape, value))
    return type(value).__name__, repr(value)


@given(VALUES, VALUES)
def test_other_content_has_another_hash(one: Any, other: Any) -> None:
    assert (value_digest(one) == value_digest(other)) == (shape(one) == shape(other))


@dataclasses.dataclass
class Point:
    """A class of a test module counts with its content."""

    x: int
    rest: Any = None


class Color(enum.Enum):
    RED = 1
    BLUE = 2


Pair = collections.namedtuple("Pair", "a b")  # noqa: PYI024 - the other kind is in the list, too


class Typed(typing.NamedTuple):
    a: int


def twice(x: int) -> int:
    return 2 * x


DIFFERENT: list[Any] = [
    0, 1, True, False, None, 1.0, 0.0, -0.0, float("nan"), 1j, "1", b"1", bytearray(b"1"), memoryview(b"11"), ...,
    2**70,
    -(2**70), NotImplemented, [], (), {}, set(), frozenset(), [1, 2], [2, 1], (1, 2), [[1], 2], [[1, 2]], {1: 2, 3: 4},
    {3: 4, 1: 2}, {"a": None}, {"a"}, {("a", 1), ("b", 2)}, "x" * 1000, b"x" * 1000, [1] * 1000, range(3), range(4),
    slice(1, 2), Point(1), Point(2), Point(1, []), Color.RED, Color.BLUE, Pair(1, 2), Pair(2, 1), Typed(1), int, str,
    Point, Color, list[int], list[str], int | str, typing.Sequence[int], len, max, twice, Point(1).__eq__, [].append,
    functools.partial(twice, 1), functools.partial(twice, 2), functools.lru_cache(twice), np.int64(1), np.float64(1),
    np.arange(4), np.arange(4).reshape(2, 2), np.arange(4, dtype="i2"), np.arange(4.0), np.array(["a"], dtype=object),
    np.array(["b"], dtype=object), np.dtype("i4"), np.dtype("i8"), np.sin, np.cos, np.linalg.norm,
    dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.date(2020, 1, 1), decimal.Decimal("1.0"), decimal.Decimal("1.00"),
    Path("a"),
    re.compile("a"), re.compile("a", re.IGNORECASE), logging.getLogger("a"), logging.getLogger("b"), random.Random(1),
    random.Random(2), collections.OrderedDict(a=1), collections.Counter("a"), collections.defaultdict(list, a=1),
    collections.deque([1]), collections.deque([1], 2), io.BytesIO(b"a"),
    ValueError("a"), ValueError("b"), KeyError("a"),
    sys, os.path, json, lambda: 1, lambda: 2, lambda x: x, lambda x=1: x, lambda x=2: x, lambda *, x=1: x,
]  # fmt: skip


def test_what_differs_has_different_hashes() -> None:
    hashes: dict[bytes, Any] = {}
    for value in DIFFERENT:
        hash = value_digest(value)
        assert hash not in hashes, (value, hashes[hash])
        hashes[hash] = value
        assert value_digest(value) == hash


def test_order_of_attributes_and_who_shares_what_do_not_matter() -> None:
    one, other = Point(1), Point.__new__(Point)
    other.rest, other.x = None, 1
    assert value_digest(one) == value_digest(other)
    part = [1, 2, 3] * 100
    assert value_digest([part, part]) == value_digest([list(part), list(part)])
    array = np.arange(12).reshape(3, 4)
    assert value_digest(array.T) == value_digest(np.ascontiguousarray(array.T))
    with_views = np.array([[1, 2], [3, 4]])[:, 0]
    assert value_digest(with_views) == value_digest(np.array([1, 3]))


def ring(size: int) -> list[Any]:
    first: list[Any] = []
    last = first
    for number in range(size):
        following: list[Any] = [number]
        last.append(following)
        last = following
    last.append(first)
    return first


def test_cycles_end() -> None:
    assert value_digest(ring(5)) == value_digest(ring(5))
    assert value_digest(ring(5)) != value_digest(ring(6))
    assert value_digest([1, [ring(3)]]) == value_digest([1, [ring(3)]])
    point = Point(1)
    point.rest = {"me": point, "us": (point, point)}
    other = Point(1)
    other.rest = {"me": other, "us": (other, other)}
    assert value_digest(point) == value_digest(other)


@pytest.mark.timeout(20)
def test_many_references_take_no_longer_than_few() -> None:
    deep: Any = [0]
    for _ in range(200):
        deep = [deep, deep]
    value_digest(deep)
    grid = [[Point(row * 30 + column, []) for column in range(30)] for row in range(30)]
    for row in range(30):
        for column in range(30):
            for a, b in ((1, 0), (0, 1), (-1, 0), (0, -1)):
                grid[row][column].rest.append(grid[(row + a) % 30][(column + b) % 30])
    with pytest.raises(RecursionError):  # as pickle, which cannot send it either
        value_digest(grid)
    small = [each[:3] for each in grid[:3]]
    for row in range(3):
        for column in range(3):
            small[row][column].rest = [other for line in small for other in line]
    value_digest(small)


def test_a_set_of_what_refers_to_it() -> None:
    class Registered:
        everyone: typing.ClassVar[set[Any]] = set()

    class Another(Registered):
        pass

    Registered.everyone |= {Registered, Another}
    assert definition_digest(Registered) == definition_digest(Registered)
    assert definition_digest(Registered) != definition_digest(Another)


def test_a_chain_of_functions_may_be_long() -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    lines = [f"def f{number}(): return f{number + 1}()" for number in range(2000)]
    exec("\n".join([*lines, "def f2000(): return 1"]), namespace)
    before = definition_digest(namespace["f0"])
    exec("def f2000(): return 2", namespace)
    assert definition_digest(namespace["f0"]) != before


class Chosen:
    def __init__(self, name: str, handle: Any) -> None:
        self.name = name
        self.handle = handle

    def __manyhands_key__(self) -> Any:
        return self.name


def test_a_class_may_say_what_counts() -> None:
    assert value_digest(Chosen("a", threading.Lock())) == value_digest(Chosen("a", sys.stdout))
    assert value_digest(Chosen("a", None)) != value_digest(Chosen("b", None))


def test_what_has_no_content_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        for value in (file, [file], {"a": (file,)}, Point(1, file), (each for each in ()), lambda: file):
            with pytest.raises(TypeError):
                value_digest(value)


def test_state_that_only_looks_like_content_does_not_count() -> None:
    from random import randint
    from random import random as uniform

    def draw() -> Any:
        return randint(1, 6), uniform(), random.random(), np.random.rand()  # noqa: NPY002 - the state of a module

    @functools.lru_cache
    def cached(x: int) -> int:
        return x

    @functools.singledispatch
    def kind(x: Any) -> str:
        return "any"

    lock = threading.RLock()

    def locked() -> Any:
        with lock:
            return kind(1), cached(1)

    before = definition_digest(draw), definition_digest(locked)
    draw(), locked()
    assert (definition_digest(draw), definition_digest(locked)) == before


SCRIPT = """
    import dataclasses, enum, sys
    from manyhands.client.content_hash import value_digest
    WORDS = {"one", "two", "three", ("four", "five"), frozenset(("six", "seven", "eight"))}

    @dataclasses.dataclass
    class Item:
        words: set
        by_word: dict = dataclasses.field(default_factory=dict)

    class Color(enum.Enum):
        RED = frozenset("red")

    class Registered:
        all = set()
        def __init_subclass__(cls): Registered.all.add(cls)
    for name in "abcdefgh":
        type(name, (Registered,), {"number": ord(name)})

    def work(item):
        if item in {"x", "y", "z", "zz"}:
            return WORDS, Color.RED, Registered
        return {len(word) for word in WORDS} - set("abc")

    print(value_digest((work, Item({"a", "b", "c", "d"}), Item, Color, Registered.all, [WORDS], Registered)).hex())
"""


def test_the_hash_of_strings_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(SCRIPT))
    seen = {
        subprocess.run(
            [sys.executable, path], env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True, timeout=50,
        ).stdout
        for seed in ("0", "1", "12345")
    }  # fmt: skip
    assert len(seen) == 1
    assert len(seen.pop().strip()) == 32
