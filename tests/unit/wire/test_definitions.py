"""Functions and classes by definition: into a clean interpreter and back."""

from __future__ import annotations

import enum
import gc
import json
import os
import subprocess
import sys
import threading
import types
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from manyhands.wire.definitions import LoadedDefinitions, UnknownDefinition
from manyhands.wire.errors import EncodeError
from manyhands.wire.local_modules import LocalModules
from manyhands.wire.registry import MAX_OBJECTS, DefinitionRegistry, is_definable

HERE = Path(__file__).parent
SOURCES = HERE.parents[2] / "src"


def run(script: Path, cwd: Path) -> str:
    """The script's output. Fails with its stderr."""
    path = os.pathsep.join((str(SOURCES), str(HERE)))
    done = subprocess.run(
        [sys.executable, script],
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def case_names() -> list[str]:
    source = (HERE / "main_cases.py").read_text()
    return [line[4:].partition("(")[0] for line in source.splitlines() if line.startswith("def case_")]


@pytest.fixture(scope="module")
def main_outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return json.loads(run(HERE / "main_cases.py", tmp_path_factory.mktemp("cwd")))


@pytest.mark.parametrize("case", case_names())
def test_definitions_in_main(case: str, main_outcomes: dict[str, str]) -> None:
    assert not main_outcomes[case], main_outcomes[case]


PROJECT = {
    "helpers.py": """
import json
import logging
import threading
import numbers_here

_lock = threading.Lock()
log = logging.getLogger(__name__)
FACTOR = 2
state = {"calls": 0}

def scale(x):
    return x * FACTOR

def through_other_module(x):
    return numbers_here.add(scale(x), 1)

def counted(x):
    state["calls"] += 1
    return x

def locked(x):
    with _lock:
        return x

class Vector:
    def __init__(self, x):
        self.x = x

    def scaled(self):
        return Vector(scale(self.x))

    def __eq__(self, other):
        return isinstance(other, Vector) and self.x == other.x
""",
    "numbers_here.py": """
import helpers

def add(a, b):
    return a + b

def back(x):
    return helpers.scale(x)
""",
    "pkg/__init__.py": "from pkg.inner import deep\nNAME = 'pkg'\n",
    "pkg/inner.py": "from . import sibling\n\ndef deep(x):\n    return sibling.shallow(x) + 100\n",
    "pkg/sibling.py": "from typing import TypeVar\nT = TypeVar('T')\n\ndef shallow(x: T) -> T:\n    return x + 10\n",
    "namespace/leaf.py": "def f(x):\n    return x + 1000\n",
}

PRELUDE = """
import sys
from clean_slot import CleanSlot
slot = CleanSlot()
call = slot.call
def raises(kind, function, item=None):
    try:
        call(function, item)
    except kind as error:
        return str(error)
    raise AssertionError(f"no {kind.__name__}")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in PROJECT.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def run_in(project: Path, script: str) -> None:
    path = project / "script.py"
    path.write_text(PRELUDE + script + "\nslot.close()\n")
    run(path, project)


def test_functions_and_classes_of_local_modules(project: Path) -> None:
    run_in(
        project,
        """
import helpers, numbers_here, pkg
from helpers import Vector, scale
from pkg import deep

assert slot.map(scale, [1, 2]) == [2, 4]
assert call(helpers.through_other_module, 3) == 7
assert call(numbers_here.back, 3) == 6
assert call(deep, 1) == 111
back = call(Vector.scaled, Vector(2))
assert type(back) is Vector and back == Vector(4)
assert call(lambda v: isinstance(v, Vector) and v.scaled(), Vector(2)) == Vector(4)
assert call(Vector, 3).x == 3
assert call(lambda _: (scale(1), deep(1), Vector(1))) == (2, 111, Vector(1))
""",
    )


def test_modules_as_objects(project: Path) -> None:
    run_in(
        project,
        """
import helpers, numbers_here, pkg, pkg.sibling, namespace.leaf

assert call(lambda x: helpers.scale(x), 2) == 4
assert call(lambda x: helpers.through_other_module(x) + numbers_here.add(x, 1), 2) == 8
assert call(lambda x: pkg.deep(x), 1) == 111
assert call(lambda x: pkg.sibling.shallow(x), 1) == 11
assert call(lambda x: namespace.leaf.f(x), 1) == 1001
assert type(call(lambda x: helpers.Vector(x).scaled(), 1)) is helpers.Vector
assert call(lambda m: m.scale(3), helpers) == 6

def all_of_it(name):
    return getattr(helpers, name)(5)
assert call(all_of_it, "scale") == 10

def stateful(x):
    helpers.counted(x)
    return helpers.counted(x), helpers.state["calls"], helpers.FACTOR
assert call(stateful, 1)[:2] == (1, 2)
assert helpers.state["calls"] == 0

def assigns(x):
    helpers.FACTOR = x
    return helpers.scale(1)
assert call(assigns, 7) == 7
assert helpers.FACTOR == 2
# of helpers only what is needed went along
small, large = (slot.registry.blob(slot.registry.define(f)) for f in (lambda x: helpers.scale(x), all_of_it))
assert b"through_other_module" not in small and b"through_other_module" in large
""",
    )


def test_what_cannot_be_pickled_in_a_module_is_left_out(project: Path) -> None:
    run_in(
        project,
        """
import helpers

def touch(name):
    return getattr(helpers, name)
assert call(lambda name: getattr(helpers, name)(1), "scale") == 2
message = raises(AttributeError, touch, "_lock")
assert "'_lock'" in message and "'helpers'" in message and "cannot pickle" in message, message
message = raises(AttributeError, touch, "locked")
assert "'locked'" in message, message
assert "does not exist" in raises(AttributeError, touch, "nowhere")
assert "'_lock'" in raises(AttributeError, lambda _: helpers._lock)
""",
    )


def test_edited_module(project: Path) -> None:
    run_in(
        project,
        """
import importlib, pathlib, helpers
sys.dont_write_bytecode = True
from helpers import scale

def through_module(x):
    return helpers.scale(x), helpers.Vector(x).scaled().x

assert call(through_module, 1) == (2, 2) and call(scale, 1) == 2
helpers.FACTOR = 3
assert call(through_module, 1) == (3, 3) and call(scale, 1) == 3

path = pathlib.Path("helpers.py")
path.write_text(path.read_text().replace("return x * FACTOR", "return x * FACTOR * 100"))
importlib.invalidate_caches()
importlib.reload(helpers)
assert call(through_module, 1) == (200, 200)
assert call(helpers.scale, 1) == 200
assert call(scale, 1) == 2  # still the old function
assert type(call(helpers.Vector.scaled, helpers.Vector(1))) is helpers.Vector
scale.__code__ = helpers.scale.__code__  # what IPython's autoreload does
assert call(scale, 1) == 200
""",
    )


def test_modules_that_are_installed_go_by_name(project: Path) -> None:
    run_in(
        project,
        """
import json, xml.dom.minidom
assert len(slot.registry.blob(slot.registry.define(json.dumps))) < 60
assert call(lambda x: json.dumps(x), [1]) == "[1]"
assert call(lambda x: xml.dom.minidom.parseString(x).documentElement.tagName, "<a/>") == "a"
""",
    )


# ---------------------------------------------------------------- which modules are local


def module_at(monkeypatch: pytest.MonkeyPatch, path: str | None, **attributes: object) -> types.ModuleType:
    module = types.ModuleType("module_at")
    vars(module).update(attributes, __file__=path)
    monkeypatch.setitem(sys.modules, "module_at", module)
    return module


@pytest.mark.parametrize(
    ("path", "is_local"),
    [
        ("/project/a.py", True),
        ("/project/deep/er/a.py", True),
        ("/projects/a.py", False),
        ("/project/.venv/lib/python3.11/site-packages/a.py", False),
        ("/project/usr/lib/python3/dist-packages/a.py", False),
        ("/project/fast.cpython-311-x86_64-linux-gnu.so", False),
        (os.__file__, False),
        (None, False),
    ],
)
def test_local_modules(monkeypatch: pytest.MonkeyPatch, path: str | None, is_local: bool) -> None:
    module_at(monkeypatch, path)
    assert LocalModules(["/project"]).is_local("module_at") is is_local


def test_local_modules_in_special_places(monkeypatch: pytest.MonkeyPatch) -> None:
    module_at(monkeypatch, None, __path__=["/project/namespace"])
    assert LocalModules(["/project"]).is_local("module_at")
    everything = LocalModules(["/"])
    assert not any(map(everything.is_local, ("os", "json", "cloudpickle", "manyhands.wire.errors", "not_imported")))
    assert not LocalModules([]).is_local(__name__)


def test_a_module_may_move(monkeypatch: pytest.MonkeyPatch) -> None:
    local = LocalModules(["/project"])
    module = module_at(monkeypatch, "/project/a.py")
    assert local.is_local("module_at")
    module.__file__ = "/elsewhere/a.py"
    assert not local.is_local("module_at")


def test_default_roots_leave_out_installations(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for first, count in ((os.path.dirname(os.__file__), 1), (str(HERE), 2), ("", 1), ("/nowhere", 1)):  # noqa: PTH120
        monkeypatch.setattr(sys, "path", [first])
        roots = LocalModules().roots
        assert roots[0] == tmp_path
        assert len(roots) == count


# ---------------------------------------------------------------- the registry


class Colour(enum.Enum):
    RED = 1


def simple(x: int) -> int:
    return x + FACTOR


FACTOR = 1


def constant(value: object) -> Callable[[], object]:
    """A new function that returns it."""
    return eval(f"lambda: {value!r}", {"__name__": "__main__"})


@pytest.fixture
def registry() -> DefinitionRegistry:
    """Takes this file for a local module."""
    return DefinitionRegistry(LocalModules([str(HERE)]))


@pytest.mark.parametrize("value", [simple, Colour, pow, len, str.upper, int.from_bytes, lambda: 1, dict])
def test_definable(value: object) -> None:
    assert is_definable(value)


@pytest.mark.parametrize("value", [[].append, "".join, types.SimpleNamespace(), Colour.RED, 3, registry.__get__(3)])
def test_not_definable(value: object) -> None:
    assert not is_definable(value)


def test_the_same_function_is_pickled_once(registry: DefinitionRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    first = registry.define(simple)
    monkeypatch.setattr(registry, "_define", None)
    assert registry.define(simple) == first
    assert len(first) == 16


def test_a_hash_names_the_content(registry: DefinitionRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    first = registry.define(simple)
    monkeypatch.setitem(globals(), "FACTOR", 2)
    second = registry.define(simple)
    monkeypatch.setitem(globals(), "FACTOR", 1)
    assert first != second
    assert registry.define(simple) == first
    assert registry.blob(first) != registry.blob(second)


def test_pickling_an_instance_does_not_change_its_class(registry: DefinitionRegistry) -> None:
    class Plain:
        pass

    import copyreg

    first = registry.define(Plain)
    copyreg._slotnames(Plain)  # what pickle does
    assert "__slotnames__" in vars(Plain)
    assert registry.define(Plain) == first


def test_blobs_are_dropped_by_bytes_but_not_when_pinned() -> None:
    registry = DefinitionRegistry(LocalModules([]), max_bytes=100_000)
    functions = [constant(f"{index:020000d}") for index in range(12)]
    hashes = [registry.define(function) for function in functions[:2]]
    registry.pin(hashes[0])
    registry.pin(hashes[0])
    hashes += [registry.define(function) for function in functions[2:]]
    registry._blobs.check_invariants()
    kept = [registry.find_blob(hash) is not None for hash in hashes]
    assert kept == [True] + [False] * 7 + [True] * 4
    with pytest.raises(UnknownDefinition) as caught:
        registry.blob(hashes[1])
    assert caught.value.hash == hashes[1]
    assert registry.define(functions[1]) == hashes[1]
    registry.unpin(hashes[0])
    assert registry.find_blob(hashes[0])
    registry.unpin(hashes[0])
    for function in functions[2:]:
        registry.define(function)
    assert registry.find_blob(hashes[0]) is None
    registry._blobs.check_invariants()


def test_one_blob_above_the_limit_is_kept() -> None:
    registry = DefinitionRegistry(LocalModules([]), max_bytes=10)
    hash = registry.define(lambda: "x" * 100)
    assert registry.blob(hash)


def test_pins_include_what_is_needed(registry: DefinitionRegistry) -> None:
    hash = registry.define(lambda: Colour.RED)
    registry.pin(hash)
    assert len(registry.needed(hash)) == 2
    registry._blobs._max_bytes = 0
    registry.define(simple)
    assert all(registry.find_blob(each) for each in registry.needed(hash))


def test_definitions_do_not_keep_what_they_saw_alive_for_ever() -> None:
    import weakref

    registry = DefinitionRegistry(LocalModules([]), max_bytes=0)
    function = constant(1)
    gone = weakref.ref(function)
    registry.define(function)
    registry.define(constant(2))
    del function
    assert gone() is None


def test_retry_on_is_a_definition(registry: DefinitionRegistry) -> None:
    class Local(Exception):
        pass

    hash = registry.define((ValueError, Local))
    assert LoadedDefinitions(origin=registry).load(hash) == (ValueError, Local)


def test_threads_may_define_at_once(registry: DefinitionRegistry) -> None:
    functions = [constant(index) for index in range(200)]
    hashes: list[list[bytes]] = []
    threads = [
        threading.Thread(target=lambda: hashes.append([registry.define(function) for function in functions]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hashes) == 4
    assert all(each == hashes[0] for each in hashes)
    assert len(set(hashes[0])) == 200


@pytest.mark.parametrize("is_class", [False, True])
def test_the_error_names_the_culprit(registry: DefinitionRegistry, is_class: bool) -> None:
    lock = threading.Lock()

    class Locked:
        guard = lock

        def method(self) -> object:
            return Locked

    def locked() -> object:
        return lock

    with pytest.raises(EncodeError) as caught:
        registry.define(Locked if is_class else locked)
    error = caught.value
    assert error.culprit == "_thread.lock"
    assert error.path == (".guard" if is_class else "variable 'lock'")
    assert "test_the_error_names_the_culprit" in error.what
    assert "inside the task" in str(error)


# ---------------------------------------------------------------- loaded definitions


def test_unknown_definition() -> None:
    loaded = LoadedDefinitions()
    with pytest.raises(UnknownDefinition):
        loaded.load(b"?" * 16)
    assert b"?" * 16 not in loaded


def test_least_recently_used_definitions_are_dropped(registry: DefinitionRegistry) -> None:
    functions = [constant(index) for index in range(5)]
    hashes = [registry.define(function) for function in functions]
    loaded = LoadedDefinitions(max_count=3)
    for hash in hashes[:3]:
        loaded.add_blob(hash, registry.blob(hash))
    assert loaded.load(hashes[0])() == 0
    for hash in hashes[3:]:
        loaded.add_blob(hash, registry.blob(hash))
    assert [hash in loaded for hash in hashes] == [True, False, False, True, True]


def test_a_lost_original_is_made_again_from_its_blob(registry: DefinitionRegistry) -> None:
    function = constant(5)
    loaded = LoadedDefinitions(origin=registry)
    hash = registry.define(function)
    assert loaded.load(hash) is function
    registry._known.clear()
    del function
    assert loaded.load(hash)() == 5


def test_a_function_made_anew_each_time_is_not_kept(registry: DefinitionRegistry) -> None:
    """As a lambda in a loop is."""
    kept = constant(1)
    hash = registry.define(kept)
    made = [weakref.ref(kept)]
    for _ in range(5 * MAX_OBJECTS):
        function = constant(1)
        assert registry.define(function) == hash
        made.append(weakref.ref(function))
    del function
    gc.collect()
    assert sum(each() is not None for each in made) == MAX_OBJECTS + 1  # ours, too
    assert len(registry._known) == len(registry._blobs.find(hash).objects) == MAX_OBJECTS
    assert registry.define(kept) == hash


def test_the_clients_classes_are_never_changed_by_blobs(registry: DefinitionRegistry) -> None:
    class Mine:
        value = 1

    hash = registry.define(Mine)
    del registry._originals[hash]
    Mine.value = 2
    assert LoadedDefinitions(origin=registry).load(hash) is Mine
    assert Mine.value == 2
