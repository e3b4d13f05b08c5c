"""Makes the blob of one definition, or of a group of classes. See `registry` for what goes into it."""

from __future__ import annotations

import io
from types import ModuleType
from typing import Any, Protocol

from manyhands.wire import definitions
from manyhands.wire.cloudpickle_parts import reduce_class_by_value
from manyhands.wire.definitions import Name
from manyhands.wire.local_modules import Namespace, reduce_module
from manyhands.wire.pickler import ValuePickler
from manyhands.wire.survey import Survey, public_names

#: What a module has even if only one of its functions is needed.
_MODULE_NAMES = ("__doc__", "__file__", "__name__", "__package__", "__path__")


class Definer(Protocol):
    """What a blob's pickler asks about other classes."""

    def is_by_value(self, obj: object) -> bool: ...

    def define(self, obj: Any) -> bytes: ...

    def needed(self, hash: bytes) -> frozenset[bytes]: ...

    def survey(self, obj: Any) -> Survey: ...

    def is_open(self, obj: object) -> bool: ...


class Reference:
    """Pickled as what `definitions.load` makes of this name."""

    def __init__(self, name: Name) -> None:
        self._name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return definitions.load, self._name


class DefinitionPickler(ValuePickler):
    """roots: what is defined in the blob; seen: the survey of all that.

    is_lenient: leave out what cannot be pickled among the attributes of local modules. stubs: in a trial of
    such an attribute, ids of the modules around it, whose own content does not matter.
    """

    def __init__(
        self,
        definer: Definer,
        roots: list[Any],
        seen: Survey,
        is_lenient: bool = False,
        stubs: frozenset[int] = frozenset(),
    ) -> None:
        self._file = io.BytesIO()
        super().__init__(self._file, definer.is_by_value)
        self._definer = definer
        self._roots = roots
        self._seen = seen
        self._is_lenient = is_lenient
        self._stubs = stubs
        #: Definitions the blob refers to, directly or not.
        self.needed: set[bytes] = set()
        #: Tracker ids of the classes that went in by value.
        self.classes: set[str] = set()
        for module, _ in seen.uses.values():
            self.globals_ref[id(vars(module))] = Namespace(module)

    def dumps(self, value: Any) -> bytes:
        """The blob. Raises whatever a user's __reduce__ may raise."""
        self.dump_raw(value)
        return self._file.getvalue()

    def reduce_by_value(self, obj: Any) -> Any:
        if isinstance(obj, ModuleType):
            return self._reduce_module(obj)
        if not isinstance(obj, type):
            return self.inline(obj)
        if not self._belongs_here(obj):
            hash = self._definer.define(obj)
            self.needed |= self._definer.needed(hash)
            return definitions.load, (hash,)
        make, arguments, state, *_ = reduce_class_by_value(obj)
        state[0].pop("__slotnames__", None)  # copyreg's cache: there once an instance was pickled
        self.classes.add(arguments[-2])
        return definitions.make_class, (make, *arguments), state, None, None, definitions.fill_class

    def _belongs_here(self, cls: type) -> bool:
        if any(cls is root for root in self._roots) or self._definer.is_open(cls):
            return True
        theirs = self._definer.survey(cls)
        return theirs.shared or not theirs.reads.isdisjoint(self._seen.stores)

    def _reduce_module(self, module: ModuleType) -> Any:
        _, names = self._seen.uses.get(id(module), (module, None))
        namespace = vars(module)
        wanted = public_names(module) if names is None else sorted({*names, *_MODULE_NAMES})
        attributes = {name: namespace[name] for name in wanted if name in namespace}
        left_out: dict[str, str] = {}
        if id(module) in self._stubs:
            attributes.clear()
        elif self._is_lenient:
            for name, value in list(attributes.items()):
                if reason := self._try(value, module):
                    left_out[name] = reason
                    del attributes[name]
        return reduce_module(module, attributes, left_out)

    def _try(self, value: Any, module: ModuleType) -> str:
        """Why this attribute of the module cannot be pickled, or nothing."""
        stubs = self._stubs | {id(module)}
        try:
            DefinitionPickler(self._definer, self._roots, self._seen, True, stubs).dumps(value)
        except Exception as error:  # noqa: BLE001 - whatever a user's __reduce__ raises
            return f"{type(error).__name__}: {error}"
        return ""
