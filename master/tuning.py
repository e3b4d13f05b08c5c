"""The scheduler's figures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """The scheduler's figures; durations in seconds."""

    #: Work sent ahead of need, beside what covers the round trip and the reports' interval.
    prefetch: float = 0.05
    round_trip: float = 0.001
    #: What the master may spend on workers' messages, both ways together.
    messages_per_second: float = 4000.0
    flush_interval_min: float = 0.005
    flush_interval_max: float = 1.0
    #: A victim that gave nothing back, or has just been asked, is left alone for so long.
    revoke_pause: float = 0.02
    #: A victim silent for so long is asked even if its estimate says that its work is nearly done.
    revoke_patience: float = 0.1
    #: A second copy of a task is worth a slot once it has run longer than both: so many times its job's mean, and
    #: so many seconds. Who speculates looks at what runs at most every `copy_pause`.
    copy_slowness: float = 1.5
    copy_delay: float = 1.0
    copy_pause: float = 0.1
    #: What tasks have saved, all together; a master allows an eighth of its machine's memory if that is more.
    state_bytes: int = 1 << 30
    #: A task whose slot dies under it so often fails.
    max_crashes: int = 3
    #: Unread result bytes after which a metered job starts nothing new.
    credit_bytes: int = 64 << 20
    #: Payload of one lease, and of all leases of a worker beyond one task a slot.
    lease_bytes: int = 128 << 10
    worker_bytes: int = 64 << 20
    #: Results, as expected, of all leases of a worker, likewise: others' results wait behind them on its connection.
    result_bytes: int = 8 << 20
