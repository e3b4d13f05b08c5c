"""What a by-value function or class drags along: enough to tell whether its definition is still good.

cloudpickle follows a function into its globals, its closure and the classes it mentions. A survey follows the
same references without pickling, and answers three questions:

- *Is the definition pickled earlier still right?* `holds()` compares, by identity, everything the survey saw:
  code, defaults, closures, referenced globals, class attributes, contents of small built-in containers. If it met
  anything it cannot see into (an array, a model), `cacheable` is false and the definition is pickled anew.
- *May it have a definition of its own,* or must it share one with what refers to it? State that functions could
  change (a dict among the globals, a `global` statement) has to be one object for all who see it, so what is
  `shared` stays in one pickle with its referrers, as cloudpickle does it. Classes without such state are split off.
- *What of a local module is needed?* `import model` and `model.f(x)` need only `f`.
"""

from __future__ import annotations

import abc
import types
from collections import deque
from collections.abc import Callable, Iterable
from itertools import repeat
from operator import is_
from typing import Any

from manyhands.wire.code_facts import code_facts
from manyhands.wire.parts import ATOMS, parts_of

_CONTAINERS = frozenset((list, dict, set, bytearray))
#: Elements: beyond it, comparing a container costs more than pickling most functions.
_MAX_CONTAINER = 256
#: Objects: a survey that grows beyond it gives up, and the definition is pickled each time.
_MAX_OBJECTS = 20_000

#: What the import system makes for each module anew.
_IMPORT_SYSTEM = frozenset(("__builtins__", "__cached__", "__loader__", "__spec__"))

_MISSING = object()
Take = Callable[[Any], tuple[Any, ...]]


class Survey:
    """The answers. Keeps what it saw alive, or a new object could pass for an old one by its address."""

    __slots__ = ("cacheable", "checks", "classes", "reads", "shared", "stores", "uses")

    def __init__(self) -> None:
        self.checks: list[tuple[Take, Any, tuple[Any, ...]]] = []
        self.cacheable = True
        self.shared = False
        #: By-value classes met, by id.
        self.classes: dict[int, type] = {}
        #: (id of a namespace, name): globals read and assigned by the functions met; "*" for a module's attributes.
        self.reads: set[tuple[int, str]] = set()
        self.stores: set[tuple[int, str]] = set()
        #: Local modules used as objects, by id, and the attributes used; None: any.
        self.uses: dict[int, tuple[types.ModuleType, set[str] | None]] = {}

    def holds(self) -> bool:
        """Whether everything is still as it was."""
        try:
            for take, subject, seen in self.checks:
                now = take(subject)
                if len(now) != len(seen) or not all(map(is_, now, seen)):
                    return False
        except RuntimeError:  # changed by another thread while it was read
            return False
        return True


def survey(root: object, is_by_value: Callable[[Any], bool]) -> Survey:
    """Follow `root`'s references."""
    walk = _Walk(is_by_value)
    walk.meet(root, False)
    walk.run()
    return walk.survey


# What is compared of each kind of object: a tuple of objects that are the same ones as long as nothing changed.


def _take_function(subject: tuple[types.FunctionType, tuple[str, ...]]) -> tuple[Any, ...]:
    function, names = subject
    return (
        function.__code__,
        function.__defaults__,
        function.__kwdefaults__,
        function.__closure__,
        function.__annotations__,
        len(function.__dict__),
        *map(function.__globals__.get, names, repeat(_MISSING)),
    )


def _take_cells(function: types.FunctionType) -> tuple[Any, ...]:
    return tuple(map(_cell_contents, function.__closure__ or ()))


def _take_names(subject: tuple[dict[str, Any], tuple[str, ...]]) -> tuple[Any, ...]:
    namespace, names = subject
    return tuple(map(namespace.get, names, repeat(_MISSING)))


def _take_items(mapping: dict[Any, Any]) -> tuple[Any, ...]:
    return (*mapping, *mapping.values())


def _take_class(cls: type) -> tuple[Any, ...]:
    return (cls.__bases__, *cls.__dict__, *cls.__dict__.values())


def _take_registered(cls: abc.ABCMeta) -> tuple[Any, ...]:
    return tuple(abc._get_dump(cls)[0])  # type: ignore[attr-defined] # noqa: SLF001 - as cloudpickle does


def _cell_contents(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return _MISSING


class _Walk:
    def __init__(self, is_by_value: Callable[[Any], bool]) -> None:
        self.survey = Survey()
        self._is_by_value = is_by_value
        self._seen: dict[tuple[int, bool], object] = {}
        self._queue: deque[tuple[Any, bool]] = deque()

    def meet(self, value: Any, by_function: bool) -> None:
        """by_function: a function could change it, through its globals, closure, defaults or attributes."""
        kind = type(value)
        if kind in ATOMS or value is _MISSING:
            return
        if kind is types.FunctionType or issubclass(kind, type | types.ModuleType):
            by_function = True  # one visit is enough: it makes no difference to them
        key = (id(value), by_function)
        if key not in self._seen:
            self._seen[key] = value
            self._queue.append((value, by_function))

    def _meet_all(self, values: Iterable[Any], by_function: bool) -> None:
        for value in values:
            self.meet(value, by_function)

    def run(self) -> None:
        try:
            while self._queue and len(self._seen) < _MAX_OBJECTS:
                self._visit(*self._queue.popleft())
        except Exception:  # noqa: BLE001 - somebody's proxy or metaclass: looking at it fails, pickling may not
            self._queue.append((None, False))
        if self._queue:
            self.survey.cacheable, self.survey.shared = False, True
        for module, names in self.survey.uses.values():
            taken = (module.__dict__, tuple(public_names(module) if names is None else names))
            self._check(_take_names, taken)
            if names is None:
                self._check(public_names, module)

    def _check(self, take: Take, subject: Any) -> None:
        self.survey.checks.append((take, subject, take(subject)))

    def _visit(self, value: Any, by_function: bool) -> None:
        kind = type(value)
        if kind is types.FunctionType:
            if self._is_by_value(value):
                self._visit_function(value)
        elif issubclass(kind, type):
            if self._is_by_value(value):
                self._visit_class(value)
        elif issubclass(kind, types.ModuleType):
            if self._is_by_value(value):
                self._use(value, None)
        elif kind in _CONTAINERS and len(value) <= _MAX_CONTAINER:
            self.survey.shared |= by_function
            is_dict = kind is dict
            self._check(_take_items if is_dict else tuple, value)
            self._meet_all(_take_items(value) if is_dict else value, by_function)
        elif (parts := parts_of(value)) is not None:
            self._meet_all(parts, by_function)
        elif not self._is_named(value):
            self.survey.cacheable = False
            self.survey.shared |= by_function
            self.meet(kind, False)
            self._meet_all(list(getattr(value, "__dict__", {}).values()), False)

    def _is_named(self, value: Any) -> bool:
        """Whether it is pickled by name: numpy's functions, compiled ones, are of classes nobody lists."""
        try:
            name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
            return isinstance(name, str) and not self._is_by_value(value)
        except Exception:  # noqa: BLE001 - a proxy may raise anything here, and is then not named
            return False

    def _visit_function(self, function: types.FunctionType) -> None:
        facts = code_facts(function.__code__)
        namespace = function.__globals__
        key = id(namespace)
        self._check(_take_function, (function, facts.names))
        if function.__closure__:
            self._check(_take_cells, function)
            self._meet_all(_take_cells(function), True)
        for mapping in (function.__dict__, function.__annotations__):
            if mapping:
                self._check(_take_items, mapping)
                self._meet_all(mapping.values(), mapping is function.__dict__)
        self.meet(function.__defaults__, True)
        self._meet_all((function.__kwdefaults__ or {}).values(), True)
        self.survey.reads.update((key, name) for name in facts.names)
        self.survey.stores.update((key, name) for name in facts.stores)
        self.survey.shared |= bool(facts.stores)
        for name in facts.names:
            value = namespace.get(name, _MISSING)
            if not (isinstance(value, types.ModuleType) and self._is_by_value(value)):
                self.meet(value, True)
        for name, attributes in facts.chains:
            self._follow(namespace.get(name), attributes, facts.stores_attributes)

    def _follow(self, value: Any, attributes: tuple[str, ...], stores_attributes: bool) -> None:
        """`package.module.f`: each local module on the way is needed with one attribute, the last one as it is."""
        for attribute in (*attributes, None):
            if not (isinstance(value, types.ModuleType) and self._is_by_value(value)):
                return
            self._use(value, attribute)
            self.survey.reads.add((id(value.__dict__), "*"))
            if attribute is None:
                if stores_attributes:  # perhaps the module's
                    self.survey.stores.add((id(value.__dict__), "*"))
                    self.survey.shared = True
                return
            value = value.__dict__.get(attribute)

    def _use(self, module: types.ModuleType, attribute: str | None) -> None:
        _, names = self.survey.uses.setdefault(id(module), (module, set()))
        if names is None or attribute in names:
            return
        if attribute is None or attribute not in module.__dict__ or attribute == "__dict__":
            self.survey.uses[id(module)] = (module, None)
            self._meet_all((module.__dict__[name] for name in public_names(module)), True)
        else:
            names.add(attribute)
            value = module.__dict__.get(attribute)
            if not (isinstance(value, types.ModuleType) and self._is_by_value(value)):
                self.meet(value, True)

    def _visit_class(self, cls: type) -> None:
        self.survey.classes[id(cls)] = cls
        self._check(_take_class, cls)
        if isinstance(cls, abc.ABCMeta):
            self._check(_take_registered, cls)
        self._meet_all((type(cls), *cls.__bases__), False)
        self._meet_all(cls.__dict__.values(), False)


def public_names(module: types.ModuleType) -> tuple[str, ...]:
    """What of a local module travels if it is needed whole: all but the import system's entries."""
    return tuple(name for name in module.__dict__ if name not in _IMPORT_SYSTEM)
