"""The plan: which faults strike whom, when and for how long. Pure: a seed gives the same plan each time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

#: In each stretch of so many seconds every kind of fault strikes once: 22 of each in 5 minutes; a few find no victim.
ROUND = 14.0

#: After so long a silence master, worker and client give each other up, by default: some pauses are longer.
HEARTBEAT_TIMEOUT = 15.0


class Kind(StrEnum):
    """What can go wrong."""

    KILL_AGENT = "kill agent"
    STOP_AGENT = "stop agent"
    KILL_SLOT = "kill slot"
    STOP_SLOT = "stop slot"
    KILL_CLIENT = "kill client"
    STOP_CLIENT = "stop client"
    STOP_MASTER = "stop master"
    RESET = "reset"
    HALF_CLOSE = "half-close"
    STALL = "stall"
    BLACK_HOLE = "black hole"
    DELAY = "delay"
    THROTTLE = "throttle"
    KILL_MASTER = "kill master"
    TORN_TAIL = "torn tail"
    FULL_DISK = "full disk"


MASTER_DEATHS = (Kind.KILL_MASTER, Kind.TORN_TAIL)
#: What strikes a connection, of a worker or a client with the master.
LINK_FAULTS = (Kind.RESET, Kind.HALF_CLOSE, Kind.STALL, Kind.BLACK_HOLE, Kind.DELAY, Kind.THROTTLE)
#: What ends processes that run tasks.
SLOT_DEATHS = (Kind.KILL_AGENT, Kind.KILL_SLOT)

_WORKER_FAULTS = (Kind.KILL_AGENT, Kind.STOP_AGENT, Kind.KILL_SLOT, Kind.STOP_SLOT)
_CLIENT_FAULTS = (Kind.KILL_CLIENT, Kind.STOP_CLIENT)
#: Of these, one in five lasts longer than the heartbeat timeout.
_SOMETIMES_LONG = (Kind.STOP_AGENT, Kind.STOP_CLIENT, Kind.STALL)

#: While the master is away nothing gets on; these leave it some time.
_SHORT = (Kind.STOP_MASTER, Kind.KILL_MASTER, Kind.TORN_TAIL)

#: Which way a connection fault works: towards the master, from it, or both.
DIRECTIONS = ("up", "down", "both")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong, and is mended `duration` seconds later; `at` counts from the first fault's turn."""

    at: float
    kind: Kind
    target: str
    duration: float
    #: One of DIRECTIONS; of no meaning unless it is a connection that suffers.
    direction: str
    #: From 0 to 1: which slot, how long a delay, how slow, how much is torn.
    degree: float

    def __str__(self) -> str:
        way = f" {self.direction}" if self.kind in LINK_FAULTS else ""
        return f"{self.at:7.2f} s  {self.kind:<11} {self.target}{way} for {self.duration:.2f} s, {self.degree:.2f}"


def make_plan(
    seed: int,
    seconds: float,
    workers: Sequence[str],
    clients: Sequence[str],
    kinds: Sequence[Kind],
    heartbeat_timeout: float = HEARTBEAT_TIMEOUT,
) -> list[Fault]:
    """The faults that begin within `seconds`, in order: each kind once in each ROUND, a last short one included."""
    rng = Random(seed)
    faults = []
    begun = 0.0
    while begun < seconds:
        length = min(ROUND, seconds - begun)
        for kind in kinds:
            target = rng.choice(_targets(kind, workers, clients))
            at = begun + rng.uniform(0, length)
            duration = _duration(kind, rng, heartbeat_timeout)
            faults.append(Fault(at, kind, target, duration, rng.choice(DIRECTIONS), rng.random()))
        begun += length
    return sorted(faults, key=lambda fault: fault.at)


def _targets(kind: Kind, workers: Sequence[str], clients: Sequence[str]) -> Sequence[str]:
    if kind in _WORKER_FAULTS:
        return workers
    if kind in _CLIENT_FAULTS:
        return clients
    if kind in LINK_FAULTS:
        return (*workers, *clients)
    return ("master",)


def _duration(kind: Kind, rng: Random, heartbeat_timeout: float) -> float:
    if kind in _SHORT:
        return rng.uniform(0.1, 1.0)
    if kind in _SOMETIMES_LONG and rng.random() < 1 / 5:
        return rng.uniform(1.1, 1.3) * heartbeat_timeout
    return rng.uniform(0.2, 4.0)
