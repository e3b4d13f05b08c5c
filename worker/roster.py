"""All slots of the agent and the sums over them."""

from __future__ import annotations

from manyhands.wire.blocks import BlockError, check_offsets
from manyhands.worker.reports import Done
from manyhands.worker.slot_state import Fed, Slot, SlotFault
from manyhands.worker.timers import NEVER


class Roster:
    """Every change to what a slot holds passes here, so that the sums stay true."""

    def __init__(self, slots: int) -> None:
        self.slots = [Slot(number) for number in range(slots)]
        #: Ready, fed nothing and not being cut: by number.
        self.idle: dict[int, Slot] = {}
        #: How many processes are up.
        self.ready = 0
        #: Seconds of work that slots hold.
        self.seconds = 0.0

    def came_up(self, slot: Slot) -> None:
        """The slot's process is ready."""
        if slot.ready:
            raise SlotFault(f"slot {slot.number} came up twice")
        slot.ready = True
        self.ready += 1

    def went_down(self, slot: Slot) -> None:
        """The slot's process is dead and holds nothing; its next one starts from nothing."""
        assert not slot.fed
        self.idle.pop(slot.number, None)
        if slot.ready:
            self.ready -= 1
            slot.ready = False
        self.seconds -= slot.seconds
        slot.seconds = 0.0
        slot.cut = None
        slot.life += 1
        slot.known.clear()
        slot.wanted.clear()
        slot.watched = False
        slot.deadline = NEVER
        slot.stopping = slot.killed = 0
        slot.excused = False
        slot.measure_at, slot.measuring = NEVER, 0
        slot.verdicts.clear()
        slot.completed = 0

    def push(self, slot: Slot, fed: Fed) -> None:
        """The slot is fed."""
        if not slot.fed:
            self.idle.pop(slot.number, None)
        slot.next_position = fed.position + fed.count
        slot.fed.append(fed)
        slot.outstanding += fed.count
        seconds = fed.count * fed.each
        slot.seconds += seconds
        self.seconds += seconds

    def pop(self, slot: Slot, position: int, count: int) -> tuple[Fed, int]:
        """The slot reported `count` tasks from `position` on: (what they were fed as, the first one's index)."""
        fed = slot.fed[0] if slot.fed else None
        if fed is None or position != fed.position or not 0 < count <= fed.count:
            raise SlotFault(f"slot {slot.number} reported {count} tasks at {position} that it was not fed")
        first = fed.lo
        if count == fed.count:
            slot.fed.popleft()
        else:
            fed.position += count
            fed.lo += count
            fed.count -= count
        slot.completed += count
        self._forget(slot, fed.each, count)
        return fed, first

    def pop_run(self, slot: Slot, report: Done) -> tuple[Fed, int]:
        """The same for results, which must be what they say they are: user code can write to the slot's pipe."""
        try:
            check_offsets(report.base, report.ends, len(report.payload))
        except BlockError as error:
            raise SlotFault(f"slot {slot.number} reported results that cannot be cut apart: {error}") from None
        return self.pop(slot, report.position, report.count)

    def settle(self, slot: Slot) -> None:
        """The slot has nothing left: its seconds are exactly zero, whatever rounding left of them."""
        assert not slot.fed
        self.seconds -= slot.seconds
        slot.seconds = 0.0
        if slot.ready and slot.cut is None:
            self.idle[slot.number] = slot

    def cut_off(self, slot: Slot, cut: int) -> list[Fed]:
        """Take from the slot what lies at or above `cut`, in order of position."""
        off: list[Fed] = []
        fed = slot.fed
        while fed and fed[-1].position + fed[-1].count > cut:
            last = fed[-1]
            if last.position >= cut:
                off.append(fed.pop())
            else:
                keep = cut - last.position
                off.append(Fed(cut, last.count - keep, last.piece, last.lo + keep, last.each))
                last.count = keep
            self._forget(slot, last.each, off[-1].count)
        off.reverse()
        return off

    def _forget(self, slot: Slot, each: float, count: int) -> None:
        slot.outstanding -= count
        seconds = count * each
        slot.seconds -= seconds
        self.seconds -= seconds

    def check_invariants(self) -> None:
        """Assert that the sums agree with what the slots hold."""
        for slot in self.slots:
            position = 0
            for fed in slot.fed:
                assert fed.count > 0
                assert fed.position >= position
                position = fed.position + fed.count
                assert fed.piece.open > 0
            assert position <= slot.next_position
            assert all(slot.at(each) is not None for each in slot.stored)
            assert slot.outstanding == sum(fed.count for fed in slot.fed)
            assert abs(slot.seconds - sum(fed.count * fed.each for fed in slot.fed)) < 1e-6
            assert (slot.number in self.idle) == (slot.ready and not slot.fed and slot.cut is None)
            assert slot.ready or not slot.fed
            assert slot.deadline < NEVER or slot.killed or not any(fed.piece.limits.patience for fed in slot.fed)
            is_measured = slot.measure_at < NEVER or slot.measuring or slot.killed
            assert is_measured or not any(fed.piece.limits.memory_bytes for fed in slot.fed)
            assert slot.watched or slot.outstanding < 2 or slot.cut is not None
        assert abs(self.seconds - sum(slot.seconds for slot in self.slots)) < 1e-6
        assert self.ready == sum(slot.ready for slot in self.slots)
