"""Run as a program: definitions in `__main__`, sent to a clean interpreter and back. One case a function.

Prints {case: traceback or ""} as JSON. See test_definitions.py.
"""

from __future__ import annotations

import abc
import collections
import enum
import functools
import json
import sys
import traceback
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

sys.path.insert(0, str(Path(__file__).parent))

from clean_slot import CleanSlot

slot = CleanSlot()
registry, encoder, loaded = slot.registry, slot.encoder, slot.loaded
_T = TypeVar("_T")
K = 1
CONFIG = {"k": 0}
COUNT = 0


@dataclass
class Point:
    x: int
    y: float = 0.5
    tags: list[str] = field(default_factory=list)

    def moved(self) -> Point:
        return Point(self.x + 1, self.y)


class Named(NamedTuple):
    a: int
    b: str = "b"


Plain = collections.namedtuple("Plain", "a b")  # noqa: PYI024 - what users have


class Color(enum.Enum):
    RED = 1
    BLUE = "two"

    def shout(self) -> str:
        return self.name + "!"


class Flags(enum.IntFlag):
    A = 1
    B = 2


class Base(abc.ABC):
    kind = "base"

    @abc.abstractmethod
    def area(self) -> int: ...

    def describe(self) -> str:
        return f"{self.kind} {self.area()}"


class Square(Base):
    __slots__ = ("side",)
    kind = "square"

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def area(self) -> int:
        return self.side**2

    class Inner:
        value = 3

    @functools.cached_property
    def lazy(self) -> int:
        return self.side

    @classmethod
    def make(cls, side: int) -> Square:
        return cls(side)

    @staticmethod
    def plain(x: int) -> int:
        return x

    @property
    def double(self) -> int:
        return 2 * self.side


class Meta(type):
    def __call__(cls, *args: object) -> object:
        made = super().__call__(*args)
        made.made_by = cls.__name__
        return made


class WithMeta(metaclass=Meta):
    pass


class Box(Generic[_T]):
    def __init__(self, content: _T) -> None:
        self.content = content


class Oops(Exception):
    def __init__(self, code: int, *, why: str) -> None:
        super().__init__(f"oops {code}")
        self.code = code
        self.why = why


class Tree:
    def __init__(self, *children: Leaf) -> None:
        self.children = children

    def total(self) -> int:
        return sum(leaf.value for leaf in self.children if isinstance(leaf, Leaf))


class Leaf:
    def __init__(self, value: int) -> None:
        self.value = value

    def grow(self) -> Tree:
        return Tree(self, Leaf(self.value + 1))


def case_functions() -> None:
    offset = 10
    assert slot.map(lambda x: x + offset, [1, 2]) == [11, 12]
    assert slot.call(add_k, 1) == 2
    assert slot.map(factorial, range(5)) == [1, 1, 2, 6, 24]
    assert slot.call(is_even, 10)
    assert slot.map(with_default, [1]) == [[1, 2]]
    assert slot.call(pow_by_name, 2) == 8
    assert slot.map(abs, [-1]) == [1]
    assert slot.map(str.upper, ["a"]) == ["A"]
    assert slot.map(Point, [3]) == [Point(3)]


def add_k(x: int) -> int:
    return x + K


def factorial(n: int) -> int:
    return 1 if n == 0 else n * factorial(n - 1)


def is_even(n: int) -> bool:
    return n == 0 or is_odd(n - 1)


def is_odd(n: int) -> bool:
    return n != 0 and is_even(n - 1)


def with_default(x: int, more: int = 2) -> list[int]:
    return [x, more]


def pow_by_name(x: int) -> int:
    return pow(x, 3)


@functools.cache
def fibonacci(n: int) -> int:
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def case_lru_cache() -> None:
    assert slot.map(fibonacci, [80]) == [23416728348467685]
    assert slot.map(lambda n: fibonacci(n), [80]) == [23416728348467685]  # noqa: PLW0108 - a lambda that reaches it


def case_unknown_definitions_are_asked_for() -> None:
    def local(point: Point) -> Point:
        return point.moved()

    slot.sent_blobs.clear()
    other = CleanSlot(registry)
    assert other.map(local, [Point(1)], send_first=False) == [Point(2)]
    assert registry.define(local) in other.sent_blobs
    assert registry.define(Point) in other.sent_blobs
    other.close()


def case_dataclass_items() -> None:
    points = [Point(i, i / 2, ["t"]) for i in range(100)]
    back = slot.map(Point.moved, points)
    assert back[7] == Point(8, 3.5)
    assert all(type(p) is Point for p in back)
    from manyhands.wire.pickling import Feed

    encoded = encoder.encode_items(Feed(points), 1 << 20, 1 << 20)
    assert encoded.definitions == registry.needed(registry.define(Point))
    assert encoded.ends[-1] / len(points) < 200


def case_isinstance_on_the_worker() -> None:
    def check(obj: object) -> tuple[bool, bool, bool]:
        return isinstance(obj, Point), type(obj) is Point, isinstance(obj, Base)

    assert slot.map(check, [Point(1), Square(2), 3]) == [(True, True, False), (False, False, True), (False,) * 3]
    assert slot.map(lambda cls: cls is Point, [Point, int]) == [True, False]


def case_results_are_of_the_original_classes() -> None:
    for obj in (Point(1), Named(1), Plain(1, 2), Color.BLUE, Flags.A | Flags.B, Square(3), WithMeta(), Box([1])):
        back = slot.call(lambda x: x, obj)
        assert type(back) is type(obj), obj
    assert slot.call(lambda x: x, Color.RED) is Color.RED
    assert slot.call(lambda _: Point) is Point
    assert slot.call(lambda _: (Point(1), Point, Color.RED))[0] == Point(1)
    assert slot.call(lambda x: x, add_k) is add_k


def case_classes_work_on_the_worker() -> None:
    def use(square: Square) -> tuple[object, ...]:
        made = square.make(4)
        return square.describe(), made.area(), made.plain(1), made.double, made.lazy, Square.Inner.value, Square.Inner()

    *rest, inner = slot.call(use, Square(3))
    assert rest == ["square 9", 16, 1, 8, 4, 3]
    assert type(inner) is Square.Inner
    assert slot.call(lambda c: c.shout(), Color.RED) == "RED!"
    assert slot.call(lambda _: Color("two").name) == "BLUE"
    assert slot.call(lambda _: WithMeta().made_by) == "WithMeta"
    assert slot.call(lambda _: Named(1).b) == "b"
    assert slot.call(lambda _: Flags.A | Flags.B) == 3


def case_abstract_stays_abstract() -> None:
    try:
        slot.call(lambda _: Base())
    except TypeError as error:
        assert "abstract" in str(error)
    else:
        raise AssertionError


def case_classes_that_refer_to_one_another() -> None:
    tree = slot.call(Leaf.grow, Leaf(1))
    assert type(tree) is Tree
    assert [type(leaf) for leaf in tree.children] == [Leaf, Leaf]
    assert slot.map(Tree.total, [tree, Tree(Leaf(5))]) == [3, 5]
    assert slot.call(lambda leaf: isinstance(leaf.grow(), Tree) and isinstance(Leaf(1).grow(), Tree), Leaf(2))
    assert registry.needed(registry.define(Tree)) & registry.needed(registry.define(Leaf))


def case_exceptions() -> None:
    def fail(x: int) -> None:
        try:
            raise Oops(x, why="because")
        except Oops as error:
            error.add_note("a note")
            raise ValueError("outer", x) from error

    try:
        slot.call(fail, 3)
    except ValueError as error:
        assert error.args == ("outer", 3)
        remote = error.__cause__
        assert type(remote).__name__ == "RemoteTraceback"
        assert 'raise ValueError("outer", x) from error' in remote.text or "in fail" in remote.text
        cause = remote.__cause__
        assert type(cause) is Oops
        assert (cause.code, cause.why, str(cause), cause.__notes__) == (3, "because", "oops 3", ["a note"])
    else:
        raise AssertionError


def case_changed_global() -> None:
    global K
    for K in (1, 2, 1, 2.5, True, 1):
        assert slot.map(add_k, [0]) == [K]
        assert type(slot.map(add_k, [0])[0]) is type(0 + K)
    K = 1


def case_changed_container() -> None:
    for value in (1, 2, 1):
        CONFIG["k"] = value
        assert slot.call(lambda _: CONFIG["k"]) == value
        assert slot.call(read_config) == value
    CONFIG["k"] = 0


def read_config(_: object) -> int:
    return CONFIG["k"]


def case_changed_closure_default_and_code() -> None:
    k = 1

    def inner(x: int, d: int = 1) -> int:
        return x + k + d

    assert slot.map(inner, [0]) == [2]
    k = 5
    assert slot.map(inner, [0]) == [6]
    inner.__defaults__ = (7,)
    assert slot.map(inner, [0]) == [12]
    inner.__code__ = (lambda x, d: k and "new").__code__
    assert slot.map(inner, [0]) == ["new"]


def case_changed_class_attribute() -> None:
    class Scaled:
        factor = 1

        def __init__(self, x: int) -> None:
            self.x = x

        def value(self) -> int:
            return self.x * self.factor

    def by_name(x: int) -> int:
        return Scaled(x).value()

    for factor in (1, 2, 1, 3, 2):
        Scaled.factor = factor
        assert slot.map(Scaled.value, [Scaled(10)]) == [10 * factor]
        assert slot.map(lambda s: s.value(), [Scaled(10)]) == [10 * factor]
        assert slot.map(by_name, [10]) == [10 * factor]
    Scaled.value = lambda self: "replaced"
    assert slot.map(by_name, [10]) == ["replaced"]


def case_redefined_class() -> None:
    namespace = {"__name__": "__main__"}
    source = "class Cell:\n    k = {}\n    def get(self): return self.k\ndef f(x): return Cell().get(), x.get()"
    for k in (1, 2):
        exec(source.format(k), namespace)
        assert slot.map(namespace["f"], [namespace["Cell"]()]) == [(k, k)]


def set_config(x: int) -> int:
    CONFIG["k"] = x
    return Reader().read() + read_config(None)


class Reader:
    """Reads state that functions change, so it must share their definition."""

    def read(self) -> int:
        return CONFIG["k"]


def case_functions_share_mutable_globals() -> None:
    for _ in range(2):
        assert slot.map(set_config, [5, 6]) == [10, 12]
        assert slot.call(lambda reader: (CONFIG.update(k=9), reader.read(), Reader)[1], Reader()) == 9
    assert CONFIG["k"] == 0
    assert type(slot.call(lambda r: r, Reader())) is Reader


def count(_: object) -> int:
    global COUNT
    COUNT += 1
    return Counter().count()


class Counter:
    def count(self) -> int:
        return COUNT


def case_global_statement() -> None:
    assert slot.map(count, [0, 0, 0]) == [1, 2, 3]
    assert COUNT == 0
    assert type(slot.call(lambda c: c, Counter())) is Counter


def case_two_functions_and_one_stateful_class() -> None:
    def first(reader: Reader) -> int:
        CONFIG["k"] = 1
        return reader.read() + Reader().read()

    def second(reader: Reader) -> int:
        CONFIG["k"] = 10
        return reader.read() + Reader().read()

    for _ in range(3):
        assert slot.call(first, Reader()) == 2
        assert slot.call(second, Reader()) == 20


def case_class_made_on_the_worker() -> None:
    def make(x: int) -> object:
        class Made(Point):
            extra = x

            def get(self) -> int:
                return self.extra + self.x

        return Made(1)

    made = slot.call(make, 3)
    assert made.get() == 4
    assert isinstance(made, Point)


def case_items_are_independent() -> None:
    shared = [1]
    assert slot.map(lambda x: x.append(2) or len(x), [shared, shared]) == [2, 2]


def case_functions_in_items() -> None:
    assert slot.map(lambda f: f(2), [add_k, lambda x: x * 2, factorial, abs]) == [3, 4, 2, 2]
    data = [1, 2]
    f = functools.partial(lambda a, b: a + b, 1)
    assert slot.map(lambda item: item[0](2) + len(item[1]), [(f, data)]) == [5]


def case_missing_module() -> None:
    missing = types.ModuleType("missing_here")
    sys.modules["missing_here"] = missing
    exec("class Gone:\n    pass\ndef gone(x): return x", missing.__dict__)
    missing.__file__ = "/somewhere/site-packages/missing_here.py"
    for function, item in ((missing.gone, 1), (lambda x: x, missing.Gone())):
        try:
            slot.call(function, item)
        except ModuleNotFoundError as error:
            assert type(error).__name__ == "RemoteModuleError"
            assert error.module == "missing_here"
            assert "worker 'clean'" in str(error)
        else:
            raise AssertionError


def case_cloudpickle_is_untouched() -> None:
    import cloudpickle
    from cloudpickle.cloudpickle import list_registry_pickle_by_value

    assert not list_registry_pickle_by_value()
    assert cloudpickle.loads(cloudpickle.dumps(Point(1))) == Point(1)


def main() -> None:
    cases = {name: case for name, case in globals().items() if name.startswith("case_")}
    outcomes = {}
    for name, case in cases.items():
        try:
            case()
        except BaseException:
            outcomes[name] = traceback.format_exc()
        else:
            outcomes[name] = ""
    slot.close()
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()
