"""What the transfer planner wants done: orders, in the imperative. The shell carries them out at once, in order."""

from __future__ import annotations

from dataclasses import dataclass

from manyhands.wire.needs import Need


@dataclass(frozen=True, slots=True)
class SendSource:
    """Tell `worker` where to get it. address: "host:port" of a worker; empty: the master."""

    worker: int
    need: Need
    size: int
    address: str = ""
    certificate: bytes = b""
    ticket: bytes = b""


@dataclass(frozen=True, slots=True)
class SendHere:
    """Tell `worker` that it is in its store."""

    worker: int
    need: Need


@dataclass(frozen=True, slots=True)
class SendLost:
    """Tell `worker` that it will not come."""

    worker: int
    need: Need
    reason: str


@dataclass(frozen=True, slots=True)
class SendAdmit:
    """Tell `worker` to serve whoever shows this ticket; once."""

    worker: int
    ticket: bytes
    id: bytes


@dataclass(frozen=True, slots=True)
class PullToMaster:
    """Have the master get it from `worker`; then call `stored(MASTER, id)`, or `lacks` with that worker's store."""

    worker: int
    id: bytes


@dataclass(frozen=True, slots=True)
class NobodyHas:
    """Workers wait for it, and nobody has it. Make it anew, then call `stored`; or call `lost`. May be said again."""

    id: bytes


Command = SendSource | SendHere | SendLost | SendAdmit | PullToMaster | NobodyHas
