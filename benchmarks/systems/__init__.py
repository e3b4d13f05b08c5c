"""Owns the registry of measured systems and their life: started, measured, shut down completely."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from benchmarks.systems.dask_distributed import DaskDistributed
from benchmarks.systems.manyhands_cluster import (
    ManyhandsEmbedded,
    ManyhandsPlain,
    ManyhandsSeparate,
    ManyhandsTcp,
    ManyhandsTwoWorkers,
    ManyhandsWithoutJournal,
)
from benchmarks.systems.multiprocessing_pool import MultiprocessingPool
from benchmarks.systems.parsl_htex import ParslHtex
from benchmarks.systems.process_pool import ProcessPool
from benchmarks.systems.protocol import System
from benchmarks.systems.ray_tasks import RayTasks

#: The two that the targets speak of.
JUDGED = (ManyhandsEmbedded.name, ManyhandsSeparate.name)
#: Those that every measure of tasks takes.
OURS_ON_TASKS = (*JUDGED, ManyhandsTcp.name, ManyhandsPlain.name, ManyhandsWithoutJournal.name)
OURS = (*OURS_ON_TASKS, ManyhandsTwoWorkers.name)
PEERS = (ProcessPool.name, MultiprocessingPool.name, RayTasks.name, DaskDistributed.name, ParslHtex.name)
#: Those that keep data for their tasks.
DATA = (ManyhandsTwoWorkers.name, RayTasks.name, DaskDistributed.name)
#: Not a task system: the bare stream, over each transport.
STREAMS = ("grpc-tcp", "grpc-unix")

TITLES = {
    "manyhands-embedded": "manyhands embedded",
    "manyhands-separate": "manyhands separate daemons",
    "manyhands-tcp": "manyhands separate daemons, gRPC with TLS and token",
    "manyhands-plain": "manyhands separate daemons, gRPC without TLS and token",
    "manyhands-no-journal": "manyhands separate daemons, no journal",
    "manyhands-two-workers": "manyhands embedded, 2 workers of 1 slot",
    "ppe": "ProcessPoolExecutor",
    "pool": "multiprocessing.Pool",
    "ray": "Ray",
    "dask": "Dask distributed",
    "parsl": "Parsl HTEX",
    "grpc-tcp": "bare grpc.aio, TCP",
    "grpc-unix": "bare grpc.aio, unix socket",
}

#: The adapters import their system only in `start`, so a missing peer fails alone.
_FACTORIES: dict[str, Callable[[], System]] = {
    ManyhandsEmbedded.name: ManyhandsEmbedded,
    ManyhandsSeparate.name: ManyhandsSeparate,
    ManyhandsTcp.name: ManyhandsTcp,
    ManyhandsPlain.name: ManyhandsPlain,
    ManyhandsTwoWorkers.name: ManyhandsTwoWorkers,
    ManyhandsWithoutJournal.name: ManyhandsWithoutJournal,
    ProcessPool.name: ProcessPool,
    MultiprocessingPool.name: MultiprocessingPool,
    RayTasks.name: RayTasks,
    DaskDistributed.name: DaskDistributed,
    ParslHtex.name: ParslHtex,
}


@contextmanager
def running(name: str) -> Iterator[System]:
    """The named system, ready for work; stopped on the way out, also after an error."""
    system = _FACTORIES[name]()
    try:
        system.start()
    except BaseException:
        with suppress(Exception):  # half a start may not stop cleanly: its own error is the one to report
            system.stop()
        raise
    try:
        yield system
    finally:
        system.stop()
