"""Whose code an object is: a package's, which its name and version stand for, or the user's, whose content counts."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Mapping
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from manyhands.wire.cloudpickle_parts import find_by_name

#: Part of a checkout of ours, a module is still a package's.
_PACKAGES = frozenset(("manyhands", "cloudpickle"))
#: The user's, even if a package's script has started it.
_MAIN = ("__main__", "__mp_main__")
_INSTALLED = frozenset(("site-packages", "dist-packages"))
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement, or of a C extension that does likewise


@functools.cache
def _standard_library() -> str:
    return os.path.join(os.path.realpath(os.path.dirname(os.__file__)), "")  # noqa: PTH118, PTH120 - as below


@functools.lru_cache(maxsize=4096)
def _is_installed_file(path: str) -> bool:
    real = os.path.realpath(path)  # pathlib would take longer for each module than all else here
    return real.startswith(_standard_library()) or not _INSTALLED.isdisjoint(real.split(os.sep))  # noqa: PTH206 - as above


def is_installed(name: str) -> bool:
    """Whether the imported module of this name belongs to Python or an installed package."""
    if name in _MAIN:
        return False
    if name.partition(".")[0] in _PACKAGES or name in sys.builtin_module_names:
        return True
    module = sys.modules.get(name)
    if module is None:
        return False
    file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), None)
    if not isinstance(file, str):
        return getattr(getattr(module, "__spec__", None), "origin", None) in ("built-in", "frozen")
    return _is_installed_file(file)


def package_name(obj: Any) -> str | None:
    """The dotted name under which a package has this function, class or module; None: it is no package's."""
    if isinstance(obj, ModuleType):
        return obj.__name__ if is_installed(obj.__name__) else None
    name = getattr(obj, "__qualname__", None) or getattr(obj, "__name__", None)
    module = getattr(obj, "__module__", None)
    if isinstance(obj, type) and not obj.__flags__ & _HEAP_TYPE:
        return f"{module}.{name}"
    if not isinstance(name, str):
        return None
    if isinstance(obj, type | FunctionType):
        found = find_by_name(obj)
        return f"{found[0].__name__}.{name}" if found is not None and is_installed(found[0].__name__) else None
    # `random.random` and the like are methods of an object that the package made, whose state is no concern of ours.
    owner = getattr(obj, "__self__", None)
    short = obj.__name__ if hasattr(obj, "__name__") else name
    for place in (module, getattr(owner, "__module__", None), type(owner).__module__):
        home = sys.modules.get(place) if isinstance(place, str) else None
        if home is not None and is_installed(home.__name__) and vars(home).get(short) is obj:
            return f"{home.__name__}.{short}"
    if isinstance(obj, BuiltinFunctionType) and (owner is None or isinstance(owner, ModuleType)):
        return f"{module}.{name}"
    return None


def version_of(name: str) -> str:
    """The version of the package that a dotted name begins with; nothing for Python's own."""
    return _version_of(name.partition(".")[0])


@functools.cache
def _version_of(top: str) -> str:
    if top in sys.stdlib_module_names:
        return ""
    try:
        return importlib.metadata.version(top)
    except importlib.metadata.PackageNotFoundError:
        pass
    for distribution in _distributions().get(top, ()):
        return importlib.metadata.version(distribution)
    return str(getattr(sys.modules.get(top), "__version__", ""))


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def imported(name: str, level: int, namespace: Mapping[str, Any]) -> ModuleType | str:
    """What an import statement in a function would import: a module of the user's, or else its absolute name.

    A module of the user's is imported, now, as its content counts.
    """
    try:
        if level:
            name = importlib.util.resolve_name("." * level + name, namespace.get("__package__") or "")
        top = name.partition(".")[0]
        if top in _PACKAGES or top in sys.stdlib_module_names:
            return name
        if name not in sys.modules:
            spec = importlib.util.find_spec(top)
            file = None if spec is None else spec.origin or next(iter(spec.submodule_search_locations or ()), None)
            if file is None or _is_installed_file(file):
                return name
        module = importlib.import_module(name)
    except (ImportError, ValueError):  # the task will say so itself
        return name
    return name if is_installed(name) else module
