"""What was tried and what became of it, counted by class and outcome; adds up over processes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

#: Mid-session messages of a client or worker, and frames around them, valid but for one field.
CLIENT, WORKER, FRAME = (
    "client message, one field changed",
    "worker message, one field changed",
    "frame, one field changed",
)
BLOCK = "block codec"
HELLO = "handshake, one field changed"
TCP, TLS, UNIX = "bytes at the TCP port", "bytes within TLS", "bytes at the Unix socket"

ONE_FIELD = (CLIENT, WORKER, FRAME)
CLASSES = (*ONE_FIELD, BLOCK, HELLO, TCP, TLS, UNIX)

#: accepted: it was acknowledged, or is nothing that anybody would answer, and the connection stands. refused: a refusal
#: or a status said why. closed: the connection was ended without a word. silent: neither, in the time allowed.
OUTCOMES = ("accepted", "refused", "closed", "silent")


@dataclass(slots=True)
class Tally:
    """Counts of one process, or all."""

    inputs: Counter[tuple[str, str]] = field(default_factory=Counter)
    sessions: int = 0
    #: Whole messages that lead up to the inputs; not counted among them.
    context: int = 0
    #: Why things were refused, without what is particular.
    statuses: Counter[str] = field(default_factory=Counter)
    #: What must not happen, in words.
    crashes: list[str] = field(default_factory=list)
    probes: int = 0
    restarts: int = 0

    @property
    def total(self) -> int:
        return sum(self.inputs.values())

    @property
    def one_field(self) -> int:
        """Inputs that were valid mid-session messages but for one field."""
        return sum(count for (kind, _), count in self.inputs.items() if kind in ONE_FIELD)

    def add(self, other: Tally) -> None:
        self.inputs += other.inputs
        self.statuses += other.statuses
        self.crashes += other.crashes
        self.sessions += other.sessions
        self.context += other.context
        self.probes += other.probes
        self.restarts += other.restarts

    def as_json(self) -> dict[str, Any]:
        return {
            "inputs": {
                kind: {outcome: count for outcome in OUTCOMES if (count := self.inputs[kind, outcome])}
                for kind in CLASSES
            },
            "statuses": dict(self.statuses.most_common()),
            "sessions": self.sessions,
            "context": self.context,
            "crashes": self.crashes,
            "probes": self.probes,
            "restarts": self.restarts,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Tally:
        inputs = Counter(
            {(kind, outcome): n for kind, counts in data["inputs"].items() for outcome, n in counts.items()}
        )
        statuses, crashes = Counter(data["statuses"]), list(data["crashes"])
        return cls(inputs, data["sessions"], data["context"], statuses, crashes, data["probes"], data["restarts"])
