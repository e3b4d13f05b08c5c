"""The master's settings: one frozen object, filled from the command line."""

from __future__ import annotations

from dataclasses import dataclass, field

from manyhands.master.tuning import SchedulerConfig


@dataclass(frozen=True, slots=True)
class MasterConfig:
    """Durations in seconds, sizes in bytes."""

    #: Both sides speak at least this often, and give the other up after so long a silence.
    heartbeat_interval: float = 5.0
    heartbeat_timeout: float = 15.0
    #: A worker whose connection broke may resume for so long before its work runs elsewhere.
    reconnect_timeout: float = 1.0
    #: The same for a client that has become silent, and for one whose connection was closed, as by its end.
    client_timeout: float = 900.0
    client_end_timeout: float = 60.0
    #: Whether clients may still be there when the master starts again; those of an embedded cluster end before it.
    clients_return: bool = True
    #: After a restart from the journal, nothing new is handed out before the workers are back, or for so long.
    reattach_timeout: float = 2.0
    #: Likewise, data that nobody has said by then to have, though they did before, are lost.
    data_return_timeout: float = 30.0
    #: A detached job's results are kept for so long after its end.
    result_timeout: float = 7 * 86400.0
    #: A connection that has not said hello by then is closed.
    handshake_timeout: float = 10.0
    #: Connections that have not shown a token yet: of all, and of one address.
    waiting_connections: int = 1024
    waiting_connections_each: int = 128
    #: Sessions, connected or not, that one token may have.
    sessions_each: int = 2048
    #: What a client may have queued, and how many jobs open; see `limits`. 0: by the machine's memory.
    client_bytes: int = 0
    client_tasks: int = 100_000_000
    client_jobs: int = 10_000
    #: Of a client that has so much unread nothing more is handed out.
    unread_bytes: int = 64 << 20
    #: Definitions kept beyond those that open tasks need.
    definition_bytes: int = 64 << 20
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
