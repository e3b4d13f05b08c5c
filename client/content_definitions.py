"""What counts of a function, a class or a module, written for `content_hash`."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any, Protocol

from manyhands.client.content_code import code_content
from manyhands.client.content_origin import imported, is_installed, package_name

Definition = types.FunctionType | type | types.ModuleType

#: Of a class: made by the interpreter, or saying nothing of what it does.
_PASSED_OVER = frozenset(
    (
        *("__doc__", "__module__", "__dict__", "__weakref__", "__slotnames__", "__qualname__", "__firstlineno__"),
        *("__static_attributes__", "__abstractmethods__", "_abc_impl", "__annotations_cache__"),
    )
)
#: Of a module: made by the import system.
_IMPORT_SYSTEM = frozenset(
    ("__builtins__", "__cached__", "__doc__", "__file__", "__loader__", "__package__", "__path__", "__spec__")
)


class Writer(Protocol):
    """One writing."""

    def write(self, value: Any) -> None: ...

    def write_tuple(self, value: tuple[Any, ...]) -> None: ...

    def write_text(self, text: str) -> None: ...

    def write_package(self, name: str) -> None:
        """What a package has under this dotted name."""
        ...

    def write_namespace(self, value: Mapping[str, Any]) -> None:
        """In the order of names, as nobody minds theirs."""
        ...

    def try_write(self, value: Any) -> None:
        """Only its type, if it has no content."""
        ...


def write_definition(writer: Writer, definition: Definition) -> None:
    """Itself; what it refers to is written as a reference."""
    if isinstance(definition, types.FunctionType):
        _write_function(writer, definition)
    elif isinstance(definition, type):
        _write_class(writer, definition)
    else:
        _write_module(writer, definition)


def _write_function(writer: Writer, function: types.FunctionType) -> None:
    home = function.__globals__.get("__name__")
    if isinstance(home, str) and is_installed(home):
        # Made by a package, a decorator's inner function for instance: what that refers to is the package's too.
        writer.write_package(home)
        write_code(writer, function.__code__)
    else:
        write_code(writer, function.__code__, function.__globals__)
    writer.write(function.__defaults__)
    writer.write_namespace(function.__kwdefaults__ or {})
    for cell in function.__closure__ or ():
        write_cell(writer, cell)
    writer.write_namespace(function.__dict__)


def write_cell(writer: Writer, cell: types.CellType) -> None:
    """A variable of an enclosing function."""
    try:
        content = cell.cell_contents
    except ValueError:
        writer.write_text("not assigned yet")
    else:
        writer.write(content)


def write_code(writer: Writer, code: types.CodeType, namespace: Mapping[str, Any] | None = None) -> None:
    """What it does and, given the globals, what it reads of them."""
    content = code_content(code)
    writer.write_text(content.text)
    for constant in content.constants:
        if isinstance(constant, types.CodeType):
            write_code(writer, constant, namespace)
        else:
            writer.write(constant)
    if namespace is None:
        return
    for name, attributes in content.reads:
        if name in namespace:
            writer.write(_read(namespace[name], attributes))
    for name, level in content.imports:
        found = imported(name, level, namespace)
        if isinstance(found, str):
            writer.write_package(found)
        else:
            writer.write(found)


def _read(value: Any, attributes: tuple[str, ...]) -> Any:
    """`package.module.f`: of the user's modules on the way, only what is read of them."""
    for attribute in attributes:
        if not isinstance(value, types.ModuleType) or package_name(value) is not None:
            break
        if attribute not in vars(value):
            break
        value = vars(value)[attribute]
    return value


def _write_class(writer: Writer, cls: type) -> None:
    writer.write_text("class")
    writer.write(type(cls))
    writer.write_tuple(cls.__bases__)
    writer.write_namespace({str(name): each for name, each in vars(cls).items() if name not in _PASSED_OVER})


def _write_module(writer: Writer, module: types.ModuleType) -> None:
    """One that is used as an object: perhaps all of it. What has no content there may not be meant."""
    for name in sorted(vars(module).keys() - _IMPORT_SYSTEM):
        writer.write_text(name)
        writer.try_write(vars(module)[name])
