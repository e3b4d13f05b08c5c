"""Keys that are equal hash equally, here and in other processes; those of whom nobody can say so are refused."""

import datetime as dt
import enum
import os
import pickle
import subprocess
import sys
from collections import Counter, namedtuple
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyhands.wire.errors import UnstableKey
from manyhands.wire.stable_hash import BITS, stable_hash

# ---------------------------------------------------------------- equal keys meet

# Few values, of many types: most pairs of these are equal.
number = st.one_of(
    st.integers(-3, 3),
    st.booleans(),
    st.sampled_from([0.0, -0.0, 0.5, 1.0, 2.0, -1.0, 1e300, float("inf")]),
    st.sampled_from([complex(1, 0), complex(0.5, 0), 1j, complex(1, -0.0)]),
    st.fractions(-2, 2, max_denominator=2),
    st.sampled_from([Decimal("1.00"), Decimal("0.5"), Decimal("-0"), Decimal("Infinity"), Decimal("1e300")]),
    st.sampled_from(
        [1 << 61, float(1 << 60), (1 << 61) - 1, np.uint64(1 << 60), 1 << 60, Decimal(1 << 61), int(1e300)]
    ),
    st.builds(
        lambda make, value: make(value),
        st.sampled_from(
            [np.int8, np.int64, np.uint16, np.float16, np.float32, np.float64, np.longdouble, np.complex64]
        ),
        st.integers(0, 3),
    ),
    st.sampled_from([np.True_, np.False_, np.float32(0.5)]),
)
text = st.one_of(
    st.sampled_from(["", "a", "ab", "\ud800"]), st.sampled_from([np.str_("a"), np.str_("ab")]), st.just(np.str_(""))
)


class Pair(NamedTuple):
    x: Any
    y: Any


leaf = number | text | st.sampled_from([None, ..., b"a", np.bytes_(b"a"), range(0), range(3, 3), range(0, 5, 3)])
key = st.recursive(
    leaf,
    lambda inner: st.one_of(
        st.lists(inner, max_size=2).map(tuple),
        st.builds(Pair, inner, inner),
        st.frozensets(leaf, max_size=2),
    ),
    max_leaves=4,
)


def are_one(x, y):
    """By a dict's rules: it compares only what hashes equally."""
    try:
        with np.errstate(over="ignore"):  # a large int and a float16
            return len({x: None, y: None}) == 1
    except TypeError:  # so numpy's integers answer a Decimal
        return False


@given(number, number)
def test_equal_numbers_hash_equally_whatever_their_types(x, y):
    if are_one(x, y):
        assert stable_hash(x) == stable_hash(y)


@given(key, key)
def test_keys_that_a_dict_takes_for_one_hash_equally(x, y):
    if are_one(x, y):
        assert stable_hash(x) == stable_hash(y)
    assert 0 <= stable_hash(x) < 1 << BITS


@given(key)
def test_a_copy_that_has_travelled_hashes_equally(x):
    assert stable_hash(pickle.loads(pickle.dumps(x))) == stable_hash(x)


class Letter(enum.StrEnum):
    A = "a"


class Digit(enum.IntEnum):
    ONE = 1


class Colour(enum.Enum):
    RED = 1
    BLUE = 2
    CRIMSON = 1  # noqa: PIE796 - an alias


class Access(enum.Flag):
    READ = 1
    WRITE = 2


Other = namedtuple("Other", "a b c")  # noqa: PYI024 - as older code has it


@dataclass(frozen=True)
class Point:
    x: Any
    y: Any = 0
    label: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Slotted:
    x: Any


class NamedPoint(Point):
    pass


BERLIN = ZoneInfo("Europe/Berlin")
UTC = dt.UTC
NOON = dt.datetime(2024, 7, 1, 12, tzinfo=UTC)

EQUAL = [
    (Letter.A, "a", np.str_("a")),
    (Digit.ONE, 1, True, np.int64(1), np.float32(1), Fraction(1), Decimal("1.0")),
    (Colour.RED, Colour.CRIMSON),
    (Access.READ | Access.WRITE, Access.WRITE | Access.READ),
    (Pair(1, "a"), (1.0, "a"), (True, Letter.A)),
    (Other(1, (2, 3), ()), (1, (2.0, np.int16(3)), ())),
    (frozenset((1, "a", (2, 3))), frozenset(((2.0, 3), "a", True))),
    (Point(1, 2, "left"), Point(1.0, Digit.ONE + 1, "right")),
    (Slotted("a"), Slotted(Letter.A)),
    (NOON, NOON.astimezone(BERLIN), NOON.astimezone(dt.timezone(dt.timedelta(hours=-12)))),
    (NOON.replace(tzinfo=None), NOON.replace(tzinfo=None, fold=1)),
    (dt.datetime.min.replace(tzinfo=dt.timezone(dt.timedelta(hours=5))),) * 2,
    (dt.time(12, tzinfo=UTC), dt.time(14, tzinfo=dt.timezone(dt.timedelta(hours=2)))),
    (dt.timedelta(days=1), dt.timedelta(hours=24)),
    (UUID(int=5), UUID("00000000-0000-0000-0000-000000000005")),
    (PurePosixPath("a/b"), PurePosixPath("a//b/")),
    (PureWindowsPath("A/B"), PureWindowsPath("a\\b")),
    (range(0, 5, 3), range(0, 4, 3), range(0, 6, 3)),
    (range(1 << 70, 1 << 71), range(1 << 70, 1 << 71, 1)),
    (range(0), range(3, 3), range(9, 1)),
]


@pytest.mark.parametrize("keys", EQUAL, ids=lambda keys: repr(keys[0])[:40])
def test_equal_keys_of_other_types_hash_equally(keys):
    assert all(x == keys[0] and hash(x) == hash(keys[0]) for x in keys), "no case"
    assert len(set(map(stable_hash, keys))) == 1


UNEQUAL = [
    (1, 2, -1, 0, 1.5, 2**60, "1", b"2"),
    (Colour.RED, Colour.BLUE, Access.READ),
    ((1, 2), (2, 1), (1, (2,)), (1,), ((1,),), (), (1, 2, 0)),
    (Point(1, 2), Point(2, 1), Slotted(1), NamedPoint(1, 2).x),
    (NOON, NOON.replace(minute=1), NOON.date(), NOON.time()),
    (None, ..., NotImplemented, int, len, test_equal_numbers_hash_equally_whatever_their_types),
    ("ab", "ba", "a", "b", "", "a" * 100),
]


@pytest.mark.parametrize("keys", UNEQUAL, ids=lambda keys: repr(keys[0]))
def test_unequal_keys_hash_otherwise(keys):
    assert len(set(map(stable_hash, keys))) == len(keys)


def test_nan_has_a_place():
    nans = [float("nan"), -float("nan"), Decimal("nan"), np.float32("nan"), complex(0, float("nan"))]
    assert len(set(map(stable_hash, nans))) == 1


PRINT_HASHES = f"""
import sys
sys.path[:0] = {sys.path!r}
import importlib.util, pickle
spec = importlib.util.spec_from_file_location("keys_of_the_test", {__file__!r})
module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
keys = [key for group in module.EQUAL + module.UNEQUAL for key in group]
print(list(map(module.stable_hash, keys)))
"""


def test_other_processes_have_other_seeds_and_the_same_hashes():
    hashes = {
        subprocess.run(
            [sys.executable, "-c", PRINT_HASHES],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert len(hashes) == 1
    assert len(hashes.pop()) > 100


def test_numpy_is_not_imported():
    code = "import sys, manyhands.wire.stable_hash as s; s.stable_hash((1, 'a', None)); print('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


# ---------------------------------------------------------------- keys spread

FAMILIES = {
    "integers": range(20_000),
    "even ones": range(0, 64_000, 16),
    "large ones": range(1 << 60, (1 << 60) + (5000 << 20), 1 << 20),
    "fractions": [k / 1024 for k in range(10_000)],
    "words": [f"word{k}" for k in range(10_000)],
    "numbered at the front": [f"{k}.suffix-longer-than-eight-bytes" for k in range(10_000)],
    "pairs": [(a, b) for a in range(100) for b in range(100)],
    "dates": [dt.date(1990, 1, 1) + dt.timedelta(days) for days in range(8_000)],
}


@pytest.mark.parametrize("parts", [2, 7, 16, 100])
@pytest.mark.parametrize("family", FAMILIES)
def test_keys_spread_evenly_over_parts_and_over_the_parts_of_parts(family, parts):
    hashes = list(map(stable_hash, FAMILIES[family]))
    for chosen in (hashes, [h // parts for h in hashes if h % parts == 0], [h // parts**3 for h in hashes]):
        counts = Counter(h % parts for h in chosen)
        mean = len(chosen) / parts
        spread = sum((counts[part] - mean) ** 2 / mean for part in range(parts))
        assert spread < parts + 6 * (2 * parts) ** 0.5, "chi-squared, beyond six sigma"


# ---------------------------------------------------------------- refused


class Plain:
    pass


class OwnHash:
    def __hash__(self):
        return 1

    def __eq__(self, other):
        return True


class OwnText(str):
    __slots__ = ()

    def __eq__(self, other):
        return self.lower() == other.lower()

    def __hash__(self):
        return hash(self.lower())


class OwnPair(tuple):
    __slots__ = ()

    def __eq__(self, other):
        return True

    __hash__ = tuple.__hash__


@dataclass(frozen=True)
class OwnHashPoint:
    x: int

    def __hash__(self):
        return 1


@dataclass(frozen=True)
class OwnEqualPoint:
    x: int

    def __eq__(self, other):
        return True

    __hash__ = Point.__hash__


@dataclass(eq=False, frozen=True)
class IdenticalPoint:
    x: int


class BrokenRepr:
    def __repr__(self):
        raise ValueError


REFUSED = [
    *(Plain(), OwnHash(), OwnText("a"), OwnPair((1,)), OwnHashPoint(1), OwnEqualPoint(1), IdenticalPoint(1)),
    *(object(), [1], {}, {1}, np.datetime64("2024-01-01"), np.timedelta64(1, "s"), list[int], BrokenRepr()),
]


@pytest.mark.parametrize("culprit", REFUSED, ids=lambda culprit: type(culprit).__name__)
def test_what_has_no_stable_hash_is_named(culprit):
    with pytest.raises(UnstableKey) as caught:
        stable_hash(culprit)
    assert caught.value.path == ""
    assert type(culprit).__qualname__ in caught.value.type_name
    assert str(caught.value).startswith("the key, ")
    assert isinstance(caught.value, TypeError)


def test_the_place_within_the_key_is_named():
    with pytest.raises(UnstableKey) as caught:
        stable_hash((1, ("a", Point(0, (Plain(),)))))
    assert caught.value.path == "[1][1].y[0]"
    assert "key[1][1].y[0], <" in str(caught.value)


def test_a_long_culprit_is_shown_in_short():
    class Long:
        def __repr__(self):
            return "x" * 10_000

    with pytest.raises(UnstableKey) as caught:
        stable_hash((Long(),))
    assert len(caught.value.culprit) <= 80
