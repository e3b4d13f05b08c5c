"""The first result of a job whose results are parts of one: what has to be known to put them together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any


class Preface(ABC):
    """Made by the client that began the job, for those that read it."""

    @abstractmethod
    def whole(self, parts: Iterable[Any]) -> Any:
        """What all results after this one come to. Raises what the job ended with, and whatever `parts` does."""

    @abstractmethod
    def progress(self, packed: bytes) -> Any:
        """How far it is, of what the master says: see JobReport."""
