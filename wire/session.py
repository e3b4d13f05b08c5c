"""A session: numbered, acknowledged frames that outlive the connection; pure, no I/O and no clock.

Both ends hold one `Session`. What is sent stays here until the other side acknowledges it; after a
broken connection `resume()` sends again what was not. What arrives is handed over once and in order,
whatever the link duplicated, reordered or dropped.

Bodies with the same `flow` arrive in the order they were sent. Flows take turns, and a body too large
for a frame is cut into fragments that take turns with everything else, so a small message never waits
behind a large one of another flow. Bodies without a flow promise no order.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from google.protobuf.message import DecodeError

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.bounds import COUNT_MAX

#: No frame's content exceeds this many bytes: at 100 Mbit/s a frame then delays another by 20 ms.
FRAME_BYTES = 256 << 10

#: Sent but unacknowledged bytes allowed: ten times what a 10 Gbit/s LAN holds in flight for 1 ms.
WINDOW_BYTES = 8 << 20

#: No body, and not what has begun and is unfinished of all bodies of a session together, exceeds this. It leaves some
#: room to protobuf's own limit, 2 GiB.
BODY_BYTES = (2 << 30) - (512 << 10)

#: Fixed cost assumed for a frame or a body beside its content.
_OVERHEAD_BYTES = 32

Flow = int | None


class ProtocolError(Exception):
    """The other side broke the session's rules; the connection cannot go on."""


@dataclass(slots=True)
class _Cut:
    """A large body on its way out, one fragment at a time."""

    id: int
    data: bytes
    receipt: object
    offset: int = 0


class _Sent(NamedTuple):
    """A frame that the other side has not acknowledged."""

    sequence: int
    size: int
    frame: pb.Frame
    receipts: list[object]
    cut: _Cut | None  # the large body whose last fragment it carries


@dataclass(slots=True)
class _Flow:
    waiting: deque[tuple[pb.Body, int, object]] = field(default_factory=deque)
    cut: _Cut | None = None


class Session:
    """One end of a session. The shell writes what `next_frame` gives and feeds what it reads to `receive`."""

    def __init__(
        self, frame_bytes: int = FRAME_BYTES, window_bytes: int = WINDOW_BYTES, body_bytes: int = BODY_BYTES
    ) -> None:
        self._frame_bytes = frame_bytes
        self._window_bytes = window_bytes
        self._body_bytes = body_bytes
        # Sending.
        self._flows: OrderedDict[Flow, _Flow] = OrderedDict()
        self._waiting_bytes = 0
        self._next_sequence = 1
        self._next_cut = 1
        self._begun_bytes = 0  # of large bodies whose last fragment has not been written
        self._next_solo = -1  # large bodies without a flow get one each, below every real flow
        self._unacknowledged: deque[_Sent] = deque()
        self._unacknowledged_bytes = 0
        self._resend: deque[_Sent] = deque()
        #: Told, by the receipts given to `send`, what the other side has dealt with.
        self.on_receipts: Callable[[Iterable[object]], None] | None = None
        # Receiving.
        self._received = 0  # highest sequence handed over
        self._applied = 0  # highest sequence the shell has dealt with: this is what we acknowledge
        self._told = 0  # highest acknowledgement that went out
        self._untold_bytes = 0
        self._early: dict[int, pb.Frame] = {}
        self._early_bytes = 0
        self._assembling: dict[int, bytearray] = {}
        self._assembling_bytes = 0
        #: Told of each fragment as it is taken in: for a shell that must not lose what it acknowledged.
        self.on_fragment: Callable[[pb.Fragment], None] | None = None
        #: Frames that arrived again after a resume or a duplicating link.
        self.duplicates = 0

    @classmethod
    def restored(cls, received: int, fragments: Mapping[int, list[bytes]]) -> Session:
        """The end of a session whose process was lost, but not what it had applied: it sends from 1 again."""
        session = cls()
        session._received = session._applied = session._told = received
        session._assembling = {number: bytearray().join(parts) for number, parts in fragments.items()}
        session._assembling_bytes = sum(map(len, session._assembling.values()))
        return session

    # ------------------------------------------------------------ sending

    def send(self, body: pb.Body, flow: Flow = None, receipt: object = None) -> None:
        """Queue `body`; it arrives exactly once as long as the session lives. `receipt`: see `on_receipts`."""
        size = body.ByteSize() + _OVERHEAD_BYTES
        if flow is None and size > self._frame_bytes:
            flow = self._next_solo
            self._next_solo -= 1
        line = self._flows.get(flow)
        if line is None:
            line = self._flows[flow] = _Flow()
        line.waiting.append((body, size, receipt))
        self._waiting_bytes += size

    @property
    def pending_bytes(self) -> int:
        """Bytes that the other side has not acknowledged yet, sent or not."""
        return self._waiting_bytes + self._unacknowledged_bytes

    @property
    def acknowledged(self) -> int:
        """The highest sequence that the other side has acknowledged."""
        return self._next_sequence - 1 - len(self._unacknowledged)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be written or acknowledged."""
        return not self._flows and not self._unacknowledged

    @property
    def has_frame(self) -> bool:
        """Whether `next_frame` would return something that must arrive."""
        return bool(self._resend) or (bool(self._flows) and self._unacknowledged_bytes < self._window_bytes)

    def next_frame(self) -> pb.Frame | None:
        """The next frame to write, or None when nothing waits or the window is full."""
        if self._resend:
            frame = self._resend.popleft().frame
        elif self._flows and self._unacknowledged_bytes < self._window_bytes:
            frame = self._fill()
        else:
            return None
        self._stamp(frame)
        return frame

    def bare_frame(self) -> pb.Frame:
        """A frame with nothing but the acknowledgement: also the heartbeat."""
        frame = pb.Frame()
        self._stamp(frame)
        return frame

    def _stamp(self, frame: pb.Frame) -> None:
        frame.acknowledged = self._told = self._applied
        self._untold_bytes = 0

    def _fill(self) -> pb.Frame:
        frame = pb.Frame(sequence=self._next_sequence)
        room = self._frame_bytes
        fragment_bytes = 0
        receipts: list[object] = []
        finished: _Cut | None = None
        bodies = frame.bodies
        flows = self._flows
        full = False
        passed = 0  # flows in a row that may not begin their large body now
        while passed < len(flows) and room > 0 and not full:
            key, line = next(iter(flows.items()))
            waiting = line.waiting
            if line.cut is None:
                # A flow may use the whole frame if nobody else waits; otherwise each gets a share.
                share = room if len(flows) == 1 else max(room // len(flows), 4096)
                while waiting and share > 0:
                    body, size, receipt = waiting[0]
                    if size > self._frame_bytes:
                        passed += not self._begin_cut(line)
                        break
                    if size > room and bodies:
                        full = True
                        break
                    bodies.append(body)
                    passed = 0
                    waiting.popleft()
                    if receipt is not None:
                        receipts.append(receipt)
                    share -= size
                    room -= size
                    self._waiting_bytes -= size
            if (cut := line.cut) is not None and room > 0 and not full:
                fragment_bytes = self._add_fragment(frame, line, room)
                full = True  # a frame holds one fragment
                if frame.fragment.last:
                    finished = cut
                    if cut.receipt is not None:
                        receipts.append(cut.receipt)
            if line.cut is None and not waiting:
                del flows[key]
            else:
                flows.move_to_end(key)
        size = self._frame_bytes - room + fragment_bytes + _OVERHEAD_BYTES
        self._next_sequence += 1
        self._unacknowledged.append(_Sent(frame.sequence, size, frame, receipts, finished))
        self._unacknowledged_bytes += size
        return frame

    def _begin_cut(self, line: _Flow) -> bool:
        """Cut the flow's next body, a large one, unless the other side has too many unfinished ones; whether it was."""
        body, size, receipt = line.waiting[0]
        if self._begun_bytes and self._begun_bytes + size > self._body_bytes:
            return False
        cut = line.cut = _Cut(self._next_cut, body.SerializeToString(), receipt)
        self._next_cut += 1
        line.waiting.popleft()
        self._begun_bytes += len(cut.data)
        self._waiting_bytes += len(cut.data) - size
        return True

    def _add_fragment(self, frame: pb.Frame, line: _Flow, room: int) -> int:
        """Put the flow's next fragment, of `room` bytes at most, into the frame; return its bytes."""
        cut = line.cut
        assert cut is not None
        data = cut.data[cut.offset : cut.offset + room]
        cut.offset += len(data)
        last = cut.offset >= len(cut.data)
        frame.fragment.id = cut.id
        frame.fragment.data = data
        frame.fragment.last = last
        self._waiting_bytes -= len(data)
        if last:
            line.cut = None
            self._begun_bytes -= len(cut.data)
        return len(data)

    def drop_flow(self, flow: int) -> None:
        """Forget what waits in `flow` and was not begun: the receiver no longer needs it."""
        line = self._flows.get(flow)
        if line is None:
            return
        self._waiting_bytes -= sum(size for _, size, _ in line.waiting)
        line.waiting.clear()
        if line.cut is None:
            del self._flows[flow]

    # ------------------------------------------------------------ receiving

    def receive(self, frame: pb.Frame) -> list[pb.Body]:
        """Take a frame from the link; return the bodies that are now due, in order.

        The caller deals with them and then calls `applied`. Raises ProtocolError if the other side
        acknowledges what was never sent or runs ahead of the window.
        """
        self._acknowledge(frame.acknowledged)
        sequence = frame.sequence
        if sequence == 0:
            return []
        if sequence <= self._received or sequence in self._early:
            self.duplicates += 1
            return []
        if sequence != self._received + 1:
            self._early_bytes += frame.ByteSize()
            if self._early_bytes > 2 * self._window_bytes + self._frame_bytes:
                raise ProtocolError(f"frame {sequence} arrived while {self._received + 1} is still missing")
            self._early[sequence] = frame
            return []
        bodies = self._take(frame)
        while self._early and (following := self._early.pop(self._received + 1, None)) is not None:
            self._early_bytes -= following.ByteSize()
            bodies += self._take(following)
        return bodies

    def _take(self, frame: pb.Frame) -> list[pb.Body]:
        self._received = frame.sequence
        bodies = list(frame.bodies)
        self._untold_bytes += _OVERHEAD_BYTES
        if frame.HasField("fragment"):
            bodies += self._assemble(frame.fragment)
            self._untold_bytes += len(frame.fragment.data)
        if bodies:
            self._untold_bytes += frame.ByteSize()
        return bodies

    def _assemble(self, fragment: pb.Fragment) -> list[pb.Body]:
        """Take a part of a large body; the body, if it was the last."""
        parts = self._assembling.get(fragment.id)
        if parts is None:
            if fragment.id > COUNT_MAX:
                raise ProtocolError(f"a fragment has the number {fragment.id}")
            if len(self._assembling) > self._body_bytes // self._frame_bytes:
                raise ProtocolError(f"parts of more than {len(self._assembling)} messages came, and the end of none")
            parts = self._assembling[fragment.id] = bytearray()
        size = len(fragment.data)
        if self._assembling_bytes + size > self._body_bytes:
            raise ProtocolError(
                f"parts of {len(self._assembling)} messages came, more than {self._body_bytes} bytes, without their end"
            )
        self._assembling_bytes += size
        if self.on_fragment is not None:
            self.on_fragment(fragment)
        parts += fragment.data
        if not fragment.last:
            return []
        del self._assembling[fragment.id]
        self._assembling_bytes -= len(parts)
        try:
            return [pb.Body.FromString(parts)]  # type: ignore[arg-type]  # any buffer will do
        except DecodeError as error:
            raise ProtocolError(f"a message in parts could not be read: {error}") from error

    @property
    def taken(self) -> int:
        """The highest sequence that `receive` has handed over."""
        return self._received

    def applied(self, sequence: int | None = None) -> None:
        """What `receive` handed over, up to `sequence` or all, has been dealt with and may be acknowledged."""
        self._applied = self._received if sequence is None else max(self._applied, sequence)

    @property
    def ack_due(self) -> bool:
        """Whether the other side waits for an acknowledgement (send one soon, with or without content)."""
        return self._told != self._applied

    @property
    def ack_urgent(self) -> bool:
        """Whether the other side's window may run dry for want of an acknowledgement."""
        return self._told != self._applied and self._untold_bytes > self._window_bytes // 4

    def _acknowledge(self, sequence: int) -> None:
        if sequence >= self._next_sequence:
            raise ProtocolError(f"frame {sequence} was acknowledged, but only {self._next_sequence - 1} were sent")
        unacknowledged = self._unacknowledged
        while unacknowledged and unacknowledged[0].sequence <= sequence:
            sent = unacknowledged.popleft()
            self._unacknowledged_bytes -= sent.size
            if sent.receipts and self.on_receipts is not None:
                self.on_receipts(sent.receipts)
        while self._resend and self._resend[0].sequence <= sequence:
            self._resend.popleft()

    # ------------------------------------------------------------ resuming

    @property
    def received(self) -> int:
        """The highest sequence applied: what to say in the handshake."""
        return self._applied

    def resume(self, peer_received: int) -> None:
        """A new connection: send again what the other side, by its own word, has not applied."""
        self._acknowledge(peer_received)
        self._resend = deque(self._unacknowledged)
        self._early.clear()
        self._early_bytes = 0

    def forget_received(self) -> None:
        """The other side has lost its end, though not what it applied of ours: it sends from 1 again."""
        self._received = self._applied = self._told = 0
        self._untold_bytes = 0
        self._early.clear()
        self._early_bytes = 0
        self._assembling.clear()
        self._assembling_bytes = 0

    def unacknowledged(self) -> list[pb.Body]:
        """What the other side has not confirmed, in order: for a session that takes this one's place."""
        bodies: list[pb.Body] = []
        for sent in self._unacknowledged:
            bodies += sent.frame.bodies
            if sent.cut is not None:
                bodies.append(pb.Body.FromString(sent.cut.data))
        for line in self._flows.values():
            if line.cut is not None:
                bodies.append(pb.Body.FromString(line.cut.data))
            bodies += [body for body, _, _ in line.waiting]
        return bodies

    def check_invariants(self) -> None:
        """Assert that the byte counts and sequences agree with the queues."""
        waiting = sum(size for line in self._flows.values() for _, size, _ in line.waiting)
        waiting += sum(len(line.cut.data) - line.cut.offset for line in self._flows.values() if line.cut is not None)
        assert waiting == self._waiting_bytes, (waiting, self._waiting_bytes)
        begun = sum(len(line.cut.data) for line in self._flows.values() if line.cut is not None)
        assert begun == self._begun_bytes, (begun, self._begun_bytes)
        assert self._assembling_bytes == sum(map(len, self._assembling.values()))
        assert sum(sent.size for sent in self._unacknowledged) == self._unacknowledged_bytes
        sequences = [sent.sequence for sent in self._unacknowledged]
        assert sequences == list(range(self._next_sequence - len(sequences), self._next_sequence))
        assert self._told <= self._applied <= self._received
        assert all(line.waiting or line.cut for line in self._flows.values())
