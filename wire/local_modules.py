"""Which modules exist only where the client runs, so that what they define travels by value, and how they do.

A module is *local* if its source file lies under one of the roots (by default the working directory and the
script's directory) and is not part of an installation: standard library, site-packages, dist-packages.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from manyhands.wire.cloudpickle_parts import NAMED_TYPES, find_by_name, is_registered_by_value

if TYPE_CHECKING:
    from pathlib import Path  # slots import this file, never resolve a path, and should start fast

#: What functools.lru_cache makes of a function.
CachedFunction = functools._lru_cache_wrapper  # noqa: SLF001 - it has no other name

#: A multiprocessing child calls its parent's `__main__` so; neither can be imported elsewhere.
_MAIN = ("__main__", "__mp_main__")
_INSTALLED = frozenset(("site-packages", "dist-packages"))
#: Wherever they lie (a checkout of manyhands is a working directory too), the worker has these.
_EVERYWHERE = frozenset(("manyhands", "cloudpickle"))
_SOURCES = (".py", ".pyc", ".pyw")
#: Classes of the interpreter that have no importable name; cloudpickle knows how to name them.
_UNNAMED = frozenset((type(None), type(Ellipsis), type(NotImplemented), *NAMED_TYPES))


def default_roots() -> list[str]:
    """The working directory, and the script's directory unless it belongs to an installation."""
    first = _resolve(sys.path[0]) if sys.path and sys.path[0] else None
    if first is None or not first.is_dir() or _is_installed(first):
        return ["."]
    return [".", str(first)]


def _resolve(path: str) -> Path:
    from pathlib import Path

    return Path(path).resolve()


def _is_installed(path: Path) -> bool:
    return path.is_relative_to(_resolve(os.__file__).parent) or not _INSTALLED.isdisjoint(path.parts)


class LocalModules:
    """Answers for one client; the answer for a module is remembered as long as its file is the same."""

    def __init__(self, roots: Iterable[str] | None = None) -> None:
        chosen = default_roots() if roots is None else roots
        self.roots = [_resolve(root) for root in chosen]
        self._known: dict[str, tuple[str | None, bool]] = {}

    def is_local(self, name: str) -> bool:
        """Whether the imported module of this name is local. Not `__main__`, which is by value anyway."""
        module = sys.modules.get(name)
        if module is None:
            return False
        file = _source_of(module)
        known = self._known.get(name)
        if known is None or known[0] != file:
            known = self._known[name] = file, file is not None and self._decide(name, file)
        return known[1]

    def _decide(self, name: str, file: str) -> bool:
        if name.partition(".")[0] in _EVERYWHERE:
            return False
        path = _resolve(file)
        return any(path.is_relative_to(root) for root in self.roots) and not _is_installed(path)

    def is_by_value(self, obj: object) -> bool:
        """Whether this function, class or module has to travel with its definition, not just its name."""
        if isinstance(obj, ModuleType):
            return obj.__name__ not in sys.modules or self.is_local(obj.__name__) or bool(is_registered_by_value(obj))
        name = getattr(obj, "__module__", None)
        if name in _MAIN or (isinstance(name, str) and self.is_local(name)):
            return True
        if isinstance(obj, type) and obj in _UNNAMED:
            return False
        found = find_by_name(obj)
        return found is None or bool(is_registered_by_value(found[0]))


def _source_of(module: ModuleType) -> str | None:
    """The module's source file, a namespace package's first folder; None for what has no source."""
    file = getattr(module, "__file__", None)
    if isinstance(file, str):
        return file if file.endswith(_SOURCES) else None
    folders = list(getattr(module, "__path__", ()))
    return folders[0] if folders else None


# What pickles refer to by these names: a module by value, with its namespace. Functions of a module that travels
# as an object get that object's namespace, so that they see what others assign to its attributes.


class Namespace:
    """`vars(module)`, pickled as that."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def __reduce__(self) -> tuple[Any, ...]:
        return vars, (self._module,)


class _LeftOut:
    """The `__getattr__` of a module of which some attributes did not come along."""

    def __init__(self, module: str, reasons: dict[str, str]) -> None:
        self._module = module
        self._reasons = reasons

    def __call__(self, name: str) -> Any:
        reason = self._reasons.get(name)
        why = f"was left out when the module was sent to this worker: {reason}" if reason else "does not exist"
        raise AttributeError(f"attribute {name!r} of module {self._module!r} {why}", name=name)


def _make_module(name: str) -> ModuleType:
    return ModuleType(name)


def _fill_module(module: ModuleType, state: tuple[dict[str, Any], dict[str, str]]) -> None:
    attributes, left_out = state
    namespace = vars(module)
    namespace.update(attributes)
    if left_out:
        namespace.setdefault("__getattr__", _LeftOut(module.__name__, left_out))


def reduce_module(module: ModuleType, attributes: dict[str, Any], left_out: dict[str, str]) -> tuple[Any, ...]:
    """How a module travels by value. left_out: attributes that cannot be pickled, and why."""
    return _make_module, (module.__name__,), (attributes, left_out), None, None, _fill_module
