"""When the master may refuse new work because its disk is full, as seen by a client. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tests.chaos.monkey import Struck
from tests.chaos.plan import Kind

#: Seconds that a client may take to connect again, and a master to notice that there is room again.
SLACK = 6.0


def refusals(client: str, struck: Sequence[Struck]) -> list[tuple[float, float]]:
    """Between these monotonic seconds the client may have invoked what reached a master without room.

    From a little before the disk was filled, or, if the way to the master was disturbed then, from before that.
    """
    role = client.partition(".")[0]
    windows = []
    for full in struck:
        if full.fault.kind is Kind.FULL_DISK:
            # What was on its way then may have waited for another fault to be mended.
            before = [each for each in struck if each.fault.target in {role, "master"}]
            holding = [each.began for each in before if each.began < full.began <= each.healed + SLACK]
            windows.append((min(holding, default=full.began) - SLACK, full.healed + SLACK))
    return windows
