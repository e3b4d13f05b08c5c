"""What with_options(context=) has made in this slot: kept from task to task, a few at a time."""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

#: A slot that alternates between so many functions sets none of them up twice. Each may hold a model of gigabytes, and
#: who edits and runs again leaves one behind each time: hence no more.
KEPT_MAX = 4

#: Hashes of a set-up and of the function that is to have what it makes (b"" for calls that bring their own).
Key = tuple[bytes, bytes]


class SetUps:
    """The latest used."""

    def __init__(self) -> None:
        self._made: OrderedDict[Key, Any] = OrderedDict()

    def __contains__(self, key: Key) -> bool:
        return key in self._made

    def __getitem__(self, key: Key) -> Any:
        self._made.move_to_end(key)
        return self._made[key]

    def make(self, key: Key, set_up: Callable[[], Any]) -> None:
        """Run a set-up and keep what it returns. Raises what it raises."""
        if len(self._made) >= KEPT_MAX:
            self._made.popitem(last=False)
            gc.collect()  # before the new one needs the memory: large objects are seldom free of cycles
        self._made[key] = set_up()
