"""What a client asks for: a seeded choice of tasks. Pure."""

from __future__ import annotations

from random import Random
from typing import Final

from tests.chaos.tasks import Order

#: Kinds of task and how often each comes up in 100.
_SHARES: Final = {"quick": 85, "slow": 2, "big": 6, "holding": 1, "failing": 3, "flaky": 3}
#: Extra attempts of the tasks that may fail, where there are any.
RETRIES = 2


class Orders:
    """One thread's orders; their ids begin with `name`, which no one else uses."""

    def __init__(self, name: str, seed: int) -> None:
        self._name = name
        self.rng = Random(f"{seed} {name}")
        self._count = 0

    def next(self, *, retries: int | None = None) -> Order:
        """One more task; `retries` unless it says."""
        rng = self.rng
        self._count += 1
        (kind,) = rng.choices(list(_SHARES), list(_SHARES.values()))
        return Order(
            task=f"{self._name}-{self._count}",
            kind=kind,
            seconds={"slow": rng.uniform(0.1, 1.0), "holding": rng.uniform(0.05, 0.4)}.get(kind, 0.0),
            size=rng.randrange(10_000, 300_000) if kind == "big" else rng.randrange(100),
            retries=rng.choice((0, RETRIES)) if retries is None else retries,
        )

    def batch(self) -> list[Order]:
        """The tasks of one map; they share their options."""
        retries = self.rng.choice((0, RETRIES))
        return [self.next(retries=retries) for _ in range(self.rng.randrange(20, 300))]

    def small(self, kind: str) -> Order:
        """One task of a kind of its own, with a small result."""
        self._count += 1
        return Order(f"{self._name}-{self._count}", kind, size=self.rng.randrange(100))

    def datum(self, kind: str) -> Order:
        """A datum: of a size that travels with messages, or of one that lies in stores."""
        self._count += 1
        return Order(f"{self._name}-{self._count}", kind, size=self.rng.choice((20_000, 100_000, 2_500_000)))
