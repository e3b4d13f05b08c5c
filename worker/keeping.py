"""Results that stay in the store of this host: from the slot's word that it wrote one to its report, or its end; pure.

Where nobody will ask for a result, it has to be dropped. But never what was kept under an id that the master chose:
another worker of this host may have been given the same task, and have written the same datum.
"""

from __future__ import annotations

from manyhands.worker.commands import Command, DropData, DropUnreported
from manyhands.worker.reports import Stored
from manyhands.worker.slot_state import Kept, Slot, SlotFault


def note(slot: Slot, report: Stored) -> None:
    """A slot has written a result. Raises SlotFault."""
    fed = slot.at(report.position)
    if fed is None:
        raise SlotFault(f"slot {slot.number} stored the result of a task that it does not run")
    is_new = report.id != fed.piece.keep_as
    slot.stored[report.position] = Kept(fed.lo + report.position - fed.position, report.id, report.size, is_new)
    if is_new:
        slot.last_stored = report.id


def take(slot: Slot, position: int, count: int) -> list[Kept]:
    """What is known to be stored of the results at [position, position + count), which have been reported."""
    stored = slot.stored
    return [stored.pop(at) for at in sorted(stored) if position <= at < position + count] if stored else []


def drop(kept: list[Kept], out: list[Command]) -> None:
    """Nobody will ask for these."""
    ids = [each.id for each in kept if each.is_new]
    if ids:
        out.append(DropData(tuple(ids)))


def slot_died(slot: Slot, out: list[Command]) -> None:
    """What it has written and not reported is nobody's."""
    drop(list(slot.stored.values()), out)
    slot.stored.clear()
    out.append(DropUnreported(slot.number, slot.last_stored))
    slot.last_stored = b""
