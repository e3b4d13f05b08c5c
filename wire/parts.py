"""What values that cannot change consist of, and which are values at all. For `survey`."""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any

from manyhands.wire.local_modules import CachedFunction

#: Types whose instances refer to nothing.
ATOMS = frozenset(
    (
        *(type(None), bool, int, float, complex, str, bytes, range, type(Ellipsis), type(NotImplemented)),
        *(types.CodeType, types.GetSetDescriptorType, types.MemberDescriptorType, types.WrapperDescriptorType),
        *(types.MethodDescriptorType, types.ClassMethodDescriptorType, types.MethodWrapperType),
    )
)
#: Immutable, or pickled by name; written out so that nothing needs to be imported for them.
_VALUES = frozenset(
    (
        *("datetime.date", "datetime.time", "datetime.datetime", "datetime.timedelta", "datetime.timezone"),
        *("decimal.Decimal", "fractions.Fraction", "uuid.UUID", "re.Pattern", "zoneinfo.ZoneInfo"),
        *("pathlib.PosixPath", "pathlib.PurePosixPath", "pathlib.WindowsPath", "pathlib.PureWindowsPath"),
        *("operator.itemgetter", "operator.attrgetter", "logging.Logger", "logging.RootLogger"),
        *("_abc._abc_data", "collections._tuplegetter", "_collections._tuplegetter"),
        *("dataclasses._DataclassParams", "dataclasses._MISSING_TYPE", "dataclasses._FIELD_BASE"),
        *("dataclasses._HAS_DEFAULT_FACTORY_CLASS", "dataclasses._KW_ONLY_TYPE"),
    )
)


def _builtin_parts(value: types.BuiltinFunctionType) -> Iterable[Any] | None:
    return () if isinstance(value.__self__, types.ModuleType | type | None) else None


def _field_parts(value: dataclasses.Field[Any]) -> Iterable[Any]:
    return (value.type, value.default, value.default_factory, value.metadata)


#: Immutable kinds, with what an instance consists of; None: it is not immutable after all.
_PARTS: tuple[tuple[Any, Callable[[Any], Iterable[Any] | None]], ...] = (
    (tuple, lambda value: value if type(value) is tuple else (type(value), *value)),
    (frozenset, lambda value: value if type(value) is frozenset else None),
    (staticmethod | classmethod, lambda value: (value.__func__,)),
    (property, lambda value: (value.fget, value.fset, value.fdel)),
    (functools.cached_property, lambda value: (value.func,)),
    (functools.partial, lambda value: (value.func, *value.args, *value.keywords.values())),
    (CachedFunction, lambda value: (value.__wrapped__,)),
    (types.MethodType, lambda value: (value.__func__, value.__self__)),
    (types.BuiltinFunctionType, _builtin_parts),
    (types.GenericAlias | types.UnionType, lambda value: (getattr(value, "__origin__", None), *value.__args__)),
    (types.MappingProxyType, lambda value: None if value else ()),
    (Enum, lambda value: (type(value), value._value_)),
    (dataclasses.Field, _field_parts),
)


def parts_of(value: Any) -> Iterable[Any] | None:
    """What an immutable value consists of; None: it is not known to be one."""
    for kind, parts in _PARTS:
        if isinstance(value, kind):
            return parts(value)
    kind = type(value)
    if kind.__module__ == "typing":
        return (getattr(value, "__origin__", None), *getattr(value, "__args__", ()))
    return () if f"{kind.__module__}.{kind.__qualname__}" in _VALUES else None
