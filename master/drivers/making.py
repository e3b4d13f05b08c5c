"""Makes the driver that a client has asked for."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable
from typing import TYPE_CHECKING

from manyhands.master.drivers.by_key import ByKey
from manyhands.master.drivers.driver import Driver, SearchDriver
from manyhands.master.drivers.heap import Heap
from manyhands.master.drivers.tree import Tree
from manyhands.protos import manyhands_pb2 as pb

if TYPE_CHECKING:
    from manyhands.master.drivers.searching import Searching


class NoSearch(Exception):
    """There cannot be such a search; the text says why."""


def make_reduction(reduction: pb.Reduction) -> Driver:
    """For a job whose tasks are reduced."""
    if reduction.kind == pb.Reduction.KIND_BY_KEY:
        return ByKey(reduction.partitions)
    return Heap() if reduction.commutative else Tree()


def make_search(opening: pb.OpenJob, clock: Callable[[], float], slots: Callable[[], int]) -> SearchDriver:
    """For a job that looks for something; clock and slots as in Searching. Raises NoSearch."""
    make = _import_searching()
    try:
        return make(opening, clock, slots)
    except Exception as error:  # a client may have written anything
        raise NoSearch(f"there cannot be such a search: {str(error) or type(error).__name__}") from error


@functools.cache
def _import_searching() -> type[Searching]:
    """With numpy, for those who search; and as in `run_daemon`, what is imported stays."""
    from manyhands.master.drivers.searching import Searching

    gc.freeze()
    return Searching
