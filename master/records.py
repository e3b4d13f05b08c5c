"""What the engine knows of a job beside the scheduler."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from manyhands.master.data import Datum
from manyhands.master.definitions import Definition
from manyhands.master.drivers.face import Face
from manyhands.master.peers import Peer
from manyhands.protos import manyhands_pb2 as pb


class Waiting(NamedTuple):
    """A message of a job that cannot be dealt with yet."""

    body: pb.Body
    #: Those that a block needs: they stay for as long as it waits, whether or not its client holds them.
    data: tuple[Datum, ...]
    #: The journal's number for it, if it was noted there.
    position: int = 0


@dataclass(slots=True)
class JobRecord:
    """Whose a job is, what all its tasks need, and what of it waits for definitions or data."""

    #: None: a detached job of an earlier life.
    client: Peer | None
    number: int  # the client's
    #: It is, or will be, nobody's: outcomes are kept, not sent.
    detached: bool = False
    inbox: deque[Waiting] = field(default_factory=deque)
    held: tuple[Definition, ...] = ()
    #: After a restart: data that its open tasks need, and that nobody has brought back yet.
    lacking: set[bytes] = field(default_factory=set)
    #: What its tasks come to is for a driver: the face's own leaves, or its driver's tasks.
    face: Face | None = None
    #: Its only task's result is to be this datum once more; empty: it is a client's job, or a driver's.
    recomputes: bytes = b""
    #: Of the OpenJob.
    keep_bytes: int = 0
    share_bytes: int = 0

    def threshold(self, worker: Peer) -> int:
        """Results of how many bytes that worker leaves in its store; 0: of none."""
        if self.keep_bytes:
            return self.keep_bytes
        is_shared = self.client is not None and worker.store and worker.store == self.client.store
        return self.share_bytes if is_shared else 0
