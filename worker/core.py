"""The agent's decisions: what each slot runs next, what goes back, what is reported when; pure, no clock, no I/O.

Every event takes `now` (monotonic seconds) and returns the commands to carry out, in order; of a SetLimit it
is told when that was. The only sense the core has is `look`, which reads the page that a slot shares with the agent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import assert_never

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.bounds import SECONDS_MAX
from manyhands.wire.needs import Need
from manyhands.wire.spans import SpanSet
from manyhands.worker import keeping
from manyhands.worker.commands import Command, Send, Spawn, Transfer
from manyhands.worker.cutting import Cutting
from manyhands.worker.data_needs import DataNeeds, Has
from manyhands.worker.deadlines import Deadlines
from manyhands.worker.definition_store import STORE_BYTES, DefinitionStore
from manyhands.worker.feeding import Feeder
from manyhands.worker.finishing import Finishing
from manyhands.worker.held import Held
from manyhands.worker.intake import Intake
from manyhands.worker.memory_limits import MemoryLimits
from manyhands.worker.reporting import FLUSH_INTERVAL, Reporting
from manyhands.worker.reports import CutDone, Done, Failed, Interrupted, Ready, Report, Saved, Stored, Wanted
from manyhands.worker.respawning import respawn
from manyhands.worker.revokes import Revoke, Revokes, holds_asked, returned_body
from manyhands.worker.roster import Roster
from manyhands.worker.slot_state import Fed, Look, Slot, SlotFault
from manyhands.worker.stopping import Stopping
from manyhands.worker.timers import NEVER, Timers


class AgentCore:
    """See the module. `slots` processes; `name` is the worker's, for crash reports. memory_bytes: what each slot may
    use at most; 0: as much as it takes.

    A SlotFault from `reported` means that the slot's process must be killed: its death is then `died`, as any.
    """

    def __init__(
        self,
        slots: int,
        look: Look,
        has: Has,
        *,
        name: str = "",
        store_bytes: int = STORE_BYTES,
        memory_bytes: int = 0,
    ) -> None:
        self._look = look
        self._name = name
        self._timers = Timers()
        self._roster = Roster(slots)
        self._held = Held()
        self._store = DefinitionStore(store_bytes)
        self._data = DataNeeds(has)
        self._intake = Intake(self._held, self._store, self._data, self._roster, memory_bytes)
        self._cutting = Cutting(self._roster, look, self._timers)
        self._stopping = Stopping(look, self._timers)
        self._deadlines = Deadlines(look, self._timers, self._stopping)
        self._memory = MemoryLimits(look, self._timers, self._stopping)
        self._feeder = Feeder(self._roster, self._held, self._store, self._cutting, self._deadlines, self._memory)
        self._revokes = Revokes()
        self._reporting = Reporting(self._roster, self._held)
        self._finishing = Finishing(self._roster, self._held, self._intake, self._reporting.results, name)
        self._draining = False

    # ------------------------------------------------------------ events

    def start(self, now: float) -> list[Command]:
        """Begin: every slot needs a process."""
        return [Spawn(slot.number) for slot in self._roster.slots]

    def received(self, bodies: Iterable[pb.Body], now: float) -> list[Command]:
        """What the master sent, in order."""
        out: list[Command] = []
        stop = False
        for body in bodies:
            match body.WhichOneof("kind"):
                case "dispatch":
                    self._intake.dispatch(body.dispatch, out)
                case "define":
                    self._intake.define(body.define.hash, body.define.blob, out)
                case "revoke":
                    self._revoke(body.revoke, now, out)
                    stop |= body.revoke.stop
                case "source":
                    self._source(body.source, out)
                case "forget":
                    self._data.forget(body.forget.ids, out)
                case "tuning":
                    self._reporting.flush_interval = body.tuning.flush_interval or FLUSH_INTERVAL
                case kind:
                    raise ValueError(f"a master does not send {kind} to a worker")
        if stop:
            # Once all revokes are known, or a slot would go on with what the next one asks for.
            for slot in self._roster.slots:
                self._stopping.stop_unwanted(slot, now, out)
        self._go_on(now, out)
        return out

    def reported(self, number: int, reports: Sequence[Report], now: float) -> list[Command]:
        """What a slot wrote, in order. Raises SlotFault if it cannot mean that."""
        slot = self._roster.slots[number]
        out: list[Command] = []
        careful = bool(slot.fed) and slot.fed[0].piece.careful
        for report in reports:
            self._take_in(slot, report, now, out)
        if not slot.fed:
            self._roster.settle(slot)
        if slot.stopping or slot.verdicts:
            self._stopping.reported(slot, now, out)
        self._feeder.refill(slot, now, out)
        self._reporting.plan(slot, now, out, at_once=careful or self._draining)
        return out

    def _take_in(self, slot: Slot, report: Report, now: float, out: list[Command]) -> None:
        match report:
            case Done():
                self._finishing.done(slot, report, out)
            case Failed():
                self._finishing.failed(slot, report)
            case Interrupted():
                self._finishing.interrupted(slot, report)
            case Saved():
                self._saved(slot, report, out)
            case Stored():
                keeping.note(slot, report)
            case Wanted():
                self._intake.slot_wants(slot, report.hashes, out)
            case CutDone():
                self._cutting.done(slot, report, out)
            case Ready():
                self._roster.came_up(slot)
                self._feeder.feed_reserved(slot, now, out)
            case _:
                assert_never(report)

    def _saved(self, slot: Slot, report: Saved, out: list[Command]) -> None:
        fed = slot.at(report.position)
        if fed is None:
            raise SlotFault(f"slot {slot.number} saved a state for a task that it does not run")
        lease = fed.piece.lease
        if not lease.dead:
            saved = pb.SavedState(
                job=lease.job,
                lease=lease.number,
                index=fed.lo + report.position - fed.position,
                attempt=fed.piece.attempt,
                state=report.state,
            )
            out.append(Send(pb.Body(saved_state=saved)))

    def died(self, number: int, exit_code: int, stderr_tail: str, now: float, memory: str = "") -> list[Command]:
        """A slot's process has ended (negative: by that signal), and all it wrote has been `reported`.

        Also for one that could not be started; `stderr_tail` then says why. `memory`: what speaks for it that there was
        none left.
        """
        slot = self._roster.slots[number]
        out: list[Command] = []
        completed = slot.completed
        self._held.let_go(number)
        keeping.slot_died(slot, out)
        report = pb.CrashReport(worker=self._name, exit_code=exit_code, stderr_tail=stderr_tail, memory=memory)
        charged = self._charge(slot, report, now, out)
        self._roster.went_down(slot)
        self._settle(slot, now, out)
        slot.failures = 0 if charged or completed else slot.failures + 1
        if not self._draining:  # otherwise nothing will need it
            respawn(slot, exit_code, stderr_tail, now, self._timers, out)
        self._go_on(now, out)
        if charged:
            self._reporting.flush(now, out)
        return out

    def drain(self, now: float) -> list[Command]:
        """Take nothing more: give back what has not started, and finish the rest."""
        self._draining = True
        out: list[Command] = [Send(pb.Body(draining=pb.Draining()))]
        for slot in self._roster.slots:
            if slot.outstanding > 1:
                self._cutting.begin(slot, out)
        self._reporting.flush(now, out)
        self._go_on(now, out)
        return out

    def reset(self, now: float) -> list[Command]:
        """The session is lost: forget all work. Running tasks finish, and their results are discarded."""
        out: list[Command] = []
        self._intake.reset(out)
        self._revokes.clear()
        keeping.drop(self._reporting.reset(), out)
        for slot in self._roster.slots:
            if slot.outstanding > 1:
                self._cutting.begin(slot, out)
        self._say_again(out)
        return out

    def reattach(self, now: float) -> list[Command]:
        """The session is lost, but the master of the next one knows what we were sent: go on, and say what we hold."""
        out: list[Command] = []
        self._revokes.clear()  # whoever asked has forgotten; what was to be given back is said to be held
        self._reporting.flush(now, out)
        self._reporting.flush_interval = FLUSH_INTERVAL
        self._intake.ask_again(out)
        out.append(Send(pb.Body(held=self._intake.held())))
        self._say_again(out)
        self._go_on(now, out)
        return out

    def _say_again(self, out: list[Command]) -> None:
        """What a new session does not know."""
        if self._draining:
            out.append(Send(pb.Body(draining=pb.Draining())))

    # ------------------------------------------------------------ data

    def joined_store(self, message: pb.JoinStore | None, now: float) -> list[Command]:
        """In each new session: this worker uses the store that `message` tells the master of, or none."""
        out: list[Command] = []
        self._intake.joined(message, out)
        return out

    def arrived(self, need: Need, now: float) -> list[Command]:
        """What was to be transferred is in the store, and the master has been told."""
        out: list[Command] = []
        self._intake.arrived(need)
        self._go_on(now, out)
        return out

    def lost(self, id: bytes, sentence: str, now: float) -> list[Command]:
        """A datum can be had from nobody, or there is no room for it: tasks that wait for it fail, and why."""
        out: list[Command] = []
        self._intake.lost(id, sentence, out)
        return out

    def dropped(self, ids: Iterable[bytes], now: float) -> list[Command]:
        """A DropData has been carried out."""
        out: list[Command] = []
        self._data.dropped(ids, out)
        return out

    def _source(self, source: pb.Source, out: list[Command]) -> None:
        if source.lost:
            self._intake.lost(source.need.id, source.lost, out)
        elif source.is_here:
            self._intake.arrived(Need.of(source.need))
        else:
            out.append(Transfer(source))

    def limit_set(self, number: int, limit: int, now: float) -> None:
        """A SetLimit has been carried out."""
        self._cutting.limit_set(self._roster.slots[number], limit, now)

    def measured(self, number: int, position: int, used_bytes: int, now: float) -> list[Command]:
        """The answer to a Measure."""
        out: list[Command] = []
        self._memory.measured(self._roster.slots[number], position, used_bytes, now, out)
        return out

    def tick(self, now: float) -> list[Command]:
        """Time has passed: do what was due by `now`."""
        out: list[Command] = []
        for kind, slot in self._timers.due(now):
            match kind:
                case "watch":
                    self._cutting.watch(slot, now, out)
                case "cut":
                    self._put_back(self._cutting.publish(slot, out), out)
                    self._settle(slot, now, out)
                    self._stopping.stop_unwanted(slot, now, out)
                    self._go_on(now, out)
                case "deadline":
                    self._deadlines.check(slot, now, out)
                case "memory":
                    self._memory.check(slot, now, out)
                case "stop":
                    self._stopping.go_on(slot, now, out)
                case "spawn":
                    if not self._draining:
                        out.append(Spawn(slot.number))
                case _:
                    assert_never(kind)
        if self._reporting.flush_at <= now:
            self._reporting.flush(now, out)
        return out

    def next_deadline(self) -> float | None:
        """When `tick` should be called next, if nothing else happens before."""
        when = min(self._timers.first, self._reporting.flush_at)
        return None if when == NEVER else when

    @property
    def unstarted(self) -> int:
        """Tasks in the agent's queue that may be fed."""
        return self._held.count

    @property
    def outstanding(self) -> int:
        """Tasks that slots were fed and have not reported."""
        return sum(slot.outstanding for slot in self._roster.slots)

    @property
    def running(self) -> int:
        """Slots that have something to run."""
        return sum(bool(slot.fed) for slot in self._roster.slots)

    @property
    def has_work(self) -> bool:
        """Whether any task is held here, started or not."""
        return bool(self._intake.leases)

    # ------------------------------------------------------------ taking back

    def _charge(self, slot: Slot, report: pb.CrashReport, now: float, out: list[Command]) -> bool:
        """Take everything back from a dead slot, and charge the task it ran, if it ran one; whether it did, or we."""
        started, busy, since = self._look(slot.number)[:3]
        if started >= slot.next_position and slot.fed:
            # User code wrote over the page. Uncharged, the task would do that again and again: blame the first.
            started, busy = slot.fed[0].position, True
        above = self._roster.cut_off(slot, started + 1)
        at = self._roster.cut_off(slot, started) if busy else []
        below = self._roster.cut_off(slot, 0)
        if slot.killed not in (0, started):
            # The one that was meant has ended just in time; the next is not to blame.
            self._put_back(below + at + above, out)
            return True
        self._put_back(below + above, out)
        if slot.excused:
            self._put_back(at, out, next_of=None if self._draining else slot)
            return True
        seconds = min(max(0.0, now - since), SECONDS_MAX)  # whatever user code wrote over the page
        for fed in at:
            lease = fed.piece.lease
            verdict = slot.verdicts.get(started)
            if not lease.dead and (verdict is not None or lease.wants_stopped(fed.lo)):
                self._finishing.stopped(fed.piece, fed.lo, verdict, seconds)
            elif not lease.dead:
                report.seconds = seconds
                crash = pb.Crash(
                    job=lease.job, lease=lease.number, index=fed.lo, report=report, attempt=fed.piece.attempt
                )
                self._reporting.results.add_body(pb.Body(crash=crash), len(report.stderr_tail))
            self._intake.release(fed.piece, fed.count)
        return bool(at or slot.killed)

    def _put_back(self, parts: list[Fed], out: list[Command], next_of: Slot | None = None) -> None:
        """Tasks that a slot was fed are the agent's again: revokes first, then the head of the queue.

        next_of: what is left (one task) is for the next process of that slot.
        """
        for fed in parts:
            piece = fed.piece
            if piece.lease.dead:
                self._intake.release(piece, fed.count)
                continue
            claimed, rest = self._revokes.offer(piece.lease, fed.lo, fed.lo + fed.count)
            if claimed:
                self._intake.release(piece, claimed)
            for lo, hi in rest:
                stopped, wanted = piece.lease.split(lo, hi)
                if stopped:
                    out.append(Send(returned_body(0, piece.lease.number, stopped)))
                    self._intake.release(piece, sum(b - a for a, b in stopped))
                for a, b in wanted:
                    if next_of is not None:
                        self._held.reserve(next_of.number, piece, a)
                    else:
                        self._held.put_back(piece, a, b)

    def _go_on(self, now: float, out: list[Command]) -> None:
        """The queue has changed: feed the slots, or give all of it back."""
        if self._draining:
            self._intake.give_back_all(out)
        else:
            self._feeder.feed_all(now, out)

    def _revoke(self, message: pb.Revoke, now: float, out: list[Command]) -> None:
        lease = self._intake.leases.get(message.lease)
        if lease is None:
            out.append(Send(returned_body(message.revoke, message.lease, ())))
            return
        revoke = Revoke(message.revoke, lease, SpanSet((r.lo, r.hi) for r in message.ranges))
        for piece, lo, hi in self._held.withdraw(lease, revoke.asked):
            revoke.give(lo, hi)
            self._intake.release(piece, hi - lo)
        if message.stop:
            lease.stop(revoke.asked)
        for slot in self._roster.slots:
            if slot.fed and holds_asked(slot, lease, revoke.asked, self._look(slot.number).started):
                self._cutting.begin(slot, out)
                revoke.waiting.add(slot.number)
        if revoke.waiting:
            self._revokes.add(revoke)
        else:
            self._answer(revoke, now, out)

    def _settle(self, slot: Slot, now: float, out: list[Command]) -> None:
        """The slot can bring no more: answer the revokes that waited only for it."""
        for revoke in self._revokes.settled(slot.number):
            self._answer(revoke, now, out)

    def _answer(self, revoke: Revoke, now: float, out: list[Command]) -> None:
        self._reporting.flush(now, out)  # whoever asks is short of work and wants to know what is left
        out.append(Send(returned_body(revoke.number, revoke.lease.number, revoke.given)))

    def check_invariants(self) -> None:
        """Assert that every count and index agrees with the tasks it speaks of."""
        self._held.check_invariants()
        self._store.check_invariants()
        self._data.check_invariants()
        self._roster.check_invariants()
        self._intake.check_invariants()
        self._reporting.check_invariants()
        self._revokes.check_invariants(self._roster.slots)
        assert not (self._roster.idle and self._held.count), "a slot idles while work waits"
