"""Sessions over a link that loses, repeats and reorders: everything arrives once, and each flow in order."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.session import ProtocolError, Session

SLACK = 200  # what a frame's own fields and its bodies' tags take


def body(number, size=0):
    """A body that says which it is and takes at least `size` bytes."""
    return pb.Body(define=pb.Define(hash=number.to_bytes(4, "big"), blob=bytes(size)))


def number_of(message):
    return int.from_bytes(message.define.hash, "big")


def over_the_wire(frame):
    return pb.Frame.FromString(frame.SerializeToString())


class End:
    """One session and what its shell has seen."""

    def __init__(self, frame_bytes, window_bytes, body_bytes):
        self.frame_bytes = frame_bytes
        self.window_bytes = window_bytes
        self.session = Session(frame_bytes, window_bytes, body_bytes)
        self.sent = []  # (number, flow) in order of sending
        self.dropped = set()
        self.arrived = []  # numbers in order of arrival
        self.highest = 0  # sequence handed over and applied
        self.in_flight = []  # frames on the way to the other end


class LinkMachine(RuleBasedStateMachine):
    """Two ends, and any interleaving of writes, deliveries, repeats, losses and new connections."""

    @initialize(
        frame_bytes=st.sampled_from([300, 1000, 6000]),
        windows=st.sampled_from([1, 3, 20]),
        body_bytes=st.sampled_from([21_000, 30_000, 1 << 20]),
    )
    def begin(self, frame_bytes, windows, body_bytes):
        self.ends = [End(frame_bytes, frame_bytes * windows, body_bytes) for _ in range(2)]
        self.count = 0

    who = st.integers(0, 1)

    @rule(who=who, flow=st.sampled_from([None, 1, 2, 3]), size=st.sampled_from([0, 10, 200, 900, 5000, 20000]))
    def send(self, who, flow, size):
        end = self.ends[who]
        self.count += 1
        end.session.send(body(self.count, size), flow)
        end.sent.append((self.count, flow))

    @rule(who=who)
    def write(self, who):
        end = self.ends[who]
        had = end.session.has_frame
        frame = end.session.next_frame()
        assert (frame is not None) == had
        if frame is not None:
            self.put(end, frame)

    @rule(who=who)
    def write_bare(self, who):
        self.put(self.ends[who], self.ends[who].session.bare_frame())

    def put(self, end, frame):
        assert frame.acknowledged <= end.highest, "acknowledged what the shell has not dealt with"
        assert frame.ByteSize() <= end.frame_bytes + SLACK
        end.in_flight.append(over_the_wire(frame))

    @rule(who=who, place=st.integers(0, 5), keep=st.booleans(), apply=st.booleans())
    def deliver(self, who, place, keep, apply):
        sender, receiver = self.ends[who], self.ends[1 - who]
        if not sender.in_flight:
            return
        place %= len(sender.in_flight)
        frame = over_the_wire(sender.in_flight[place]) if keep else sender.in_flight.pop(place)
        receiver.arrived += map(number_of, receiver.session.receive(frame))
        if apply:
            self.apply(1 - who)

    @rule(who=who)
    def apply(self, who):
        end = self.ends[who]
        end.session.applied()
        end.highest = end.session.received

    @rule(who=who, place=st.integers(0, 5))
    def lose(self, who, place):
        frames = self.ends[who].in_flight
        if frames:
            del frames[place % len(frames)]

    @rule()
    def reconnect(self):
        for end in self.ends:
            end.in_flight.clear()
        received = [end.session.received for end in self.ends]
        for end, theirs in zip(self.ends, reversed(received), strict=True):
            end.session.resume(theirs)

    @precondition(lambda self: hasattr(self, "ends"))
    @invariant()
    def counts_are_true(self):
        for end in self.ends:
            end.session.check_invariants()
            assert end.session._unacknowledged_bytes <= end.window_bytes + end.frame_bytes + SLACK
            assert len(set(end.arrived)) == len(end.arrived), "twice"

    def teardown(self):
        if not hasattr(self, "ends"):
            return
        self.reconnect()
        for _ in range(10_000):
            if all(end.session.is_idle for end in self.ends):
                break
            for who in (0, 1):
                self.write(who)
                self.write_bare(who)
                while self.ends[who].in_flight:
                    self.deliver(who, 0, False, True)
        self.counts_are_true()
        for sender, receiver in (self.ends, reversed(self.ends)):
            assert sender.session.pending_bytes == 0
            assert sorted(receiver.arrived) == [number for number, _ in sender.sent]
            for flow in (1, 2, 3):
                numbers = [number for number, other in sender.sent if other == flow]
                assert [number for number in receiver.arrived if number in set(numbers)] == numbers


TestLink = LinkMachine.TestCase
TestLink.settings = settings(max_examples=60, stateful_step_count=40)


def pair(frame_bytes=1000, window_bytes=1 << 20):
    return Session(frame_bytes, window_bytes), Session(frame_bytes, window_bytes)


def pump(sender, receiver):
    """Move all there is, acknowledged at once; the numbers, frame by frame."""
    frames = []
    while (frame := sender.next_frame()) is not None:
        frames.append(list(map(number_of, receiver.receive(over_the_wire(frame)))))
        receiver.applied()
        sender.receive(receiver.bare_frame())
    return frames


def test_a_small_body_does_not_wait_behind_a_large_one_of_another_flow():
    one, other = pair()
    one.send(body(1, 50_000), 1)
    first = one.next_frame()
    one.send(body(2), 2)
    other.receive(first)
    frames = pump(one, other)
    assert 2 in frames[0] + frames[1]
    assert frames[-1] == [1]


def test_a_small_body_without_a_flow_passes_a_large_one_without_a_flow():
    one, other = pair()
    one.send(body(1, 50_000))
    one.send(body(2))
    frames = pump(one, other)
    assert 2 in frames[0] + frames[1]
    assert frames[-1] == [1]


def test_two_large_bodies_take_turns():
    one, other = pair()
    one.send(body(1, 20_000), 1)
    one.send(body(2, 20_000), 2)
    frames = pump(one, other)
    done = {number: place for place, numbers in enumerate(frames) for number in numbers}
    assert abs(done[1] - done[2]) <= 2
    assert len(frames) >= 40


def test_a_long_flow_does_not_starve_a_short_one():
    one, other = pair(frame_bytes=10_000)
    for number in range(500):
        one.send(body(number, 100), 1)
    one.send(body(1000), 2)
    frames = pump(one, other)
    assert 1000 in frames[0] + frames[1]
    assert [n for frame in frames for n in frame if n < 1000] == list(range(500))


def test_within_a_flow_nothing_overtakes_a_large_body():
    one, other = pair()
    for number, size in enumerate([0, 5000, 0, 3000, 0]):
        one.send(body(number, size), 7)
    assert [n for frame in pump(one, other) for n in frame] == [0, 1, 2, 3, 4]


def test_the_window_stops_the_sender_until_acknowledgements_come():
    one, other = pair(frame_bytes=1000, window_bytes=3000)
    for number in range(20):
        one.send(body(number, 900), 1)
    frames = []
    while (frame := one.next_frame()) is not None:
        frames.append(over_the_wire(frame))
    assert 3 <= len(frames) <= 4
    assert not one.has_frame
    for frame in frames:
        other.receive(frame)
    other.applied()
    assert other.ack_due
    assert other.ack_urgent
    one.receive(other.bare_frame())
    assert not other.ack_due
    assert one.has_frame


def test_a_body_larger_than_the_window_arrives():
    one, other = pair(frame_bytes=1000, window_bytes=3000)
    one.send(body(1, 20_000), 1)
    assert [n for frame in pump(one, other) for n in frame] == [1]


def test_what_a_dropped_flow_had_not_begun_is_never_sent():
    one, other = pair()
    for number, size in enumerate([0, 5000, 0, 0]):
        one.send(body(number, size), 7)
    one.send(body(9), 8)
    other.receive(over_the_wire(one.next_frame()))  # begins the large one
    one.drop_flow(7)
    one.check_invariants()
    assert sorted(n for frame in pump(one, other) for n in frame) == [1, 9]
    one.drop_flow(7)
    one.drop_flow(1234)
    assert one.is_idle


def test_an_acknowledgement_of_what_was_never_sent_is_a_fault():
    one, _ = pair()
    with pytest.raises(ProtocolError, match="only 0 were sent"):
        one.receive(pb.Frame(acknowledged=1))
    one.send(body(1))
    one.next_frame()
    with pytest.raises(ProtocolError, match="frame 2 was acknowledged, but only 1"):
        one.receive(pb.Frame(acknowledged=2))
    with pytest.raises(ProtocolError):
        one.resume(5)


def test_frames_far_ahead_of_a_missing_one_are_a_fault_not_an_allocation():
    _, other = pair(frame_bytes=1000, window_bytes=3000)
    sequence = 2
    with pytest.raises(ProtocolError, match="while 1 is still missing"):
        while sequence < 100:
            other.receive(pb.Frame(sequence=(sequence := sequence + 1), bodies=[body(sequence, 900)]))
    assert sequence < 15


def test_duplicates_are_counted_and_not_handed_over():
    one, other = pair()
    one.send(body(1))
    frame = one.next_frame()
    assert len(other.receive(over_the_wire(frame))) == 1
    assert other.receive(over_the_wire(frame)) == []
    other.receive(pb.Frame(sequence=5, bodies=[body(5)]))
    other.receive(pb.Frame(sequence=5, bodies=[body(5)]))
    assert other.duplicates == 2


def test_a_resume_sends_again_what_the_other_side_has_not_applied_and_no_more():
    one, other = pair()
    frames = []
    for number in range(1, 6):
        one.send(body(number))
        frames.append(over_the_wire(one.next_frame()))
    for frame in frames[:3]:
        other.receive(frame)
    other.applied()
    other.receive(frames[3])  # handed over, but the shell had not dealt with it
    assert other.received == 3
    one.resume(other.received)
    again = []
    while (frame := one.next_frame()) is not None:
        again.append(frame.sequence)
    assert again == [4, 5]
    assert [n for f in frames[3:] for n in map(number_of, other.receive(f))] == [5]


def test_a_fragment_of_a_number_that_nobody_reaches_is_a_fault():
    with pytest.raises(ProtocolError, match="a fragment has the number"):
        Session().receive(pb.Frame(sequence=1, fragment=pb.Fragment(id=1 << 63, data=b"")))


def fragment(sequence, number, size, last=False):
    return pb.Frame(sequence=sequence, fragment=pb.Fragment(id=number, data=bytes(size), last=last))


def test_parts_without_an_end_are_a_fault_not_an_allocation():
    session = Session(frame_bytes=1000, body_bytes=10_000)
    for sequence in range(1, 11):
        session.receive(fragment(sequence, 1, 1000))
    with pytest.raises(ProtocolError, match="parts of 1 messages came, more than 10000 bytes"):
        session.receive(fragment(11, 1, 1))
    session.check_invariants()


def test_parts_of_many_messages_count_together():
    session = Session(frame_bytes=1000, body_bytes=10_000)
    for sequence in range(1, 11):
        session.receive(fragment(sequence, sequence, 900))
    with pytest.raises(ProtocolError, match="parts of 11 messages"):
        session.receive(fragment(11, 11, 1001))


def test_parts_without_content_are_limited_as_well():
    session = Session(frame_bytes=1000, body_bytes=10_000)
    with pytest.raises(ProtocolError, match="parts of more than 11 messages came, and the end of none"):
        for sequence in range(1, 100):
            session.receive(fragment(sequence, sequence, 0))
    assert session.taken == 12


def test_parts_that_make_no_message_are_a_fault_of_their_sender():
    with pytest.raises(ProtocolError, match="in parts could not be read"):
        Session().receive(pb.Frame(sequence=1, fragment=pb.Fragment(id=1, data=b"\xff" * 20, last=True)))


def test_a_sender_begins_no_more_large_bodies_than_the_other_side_takes():
    one, other = Session(1000, 1 << 20, 10_000), Session(1000, 1 << 20, 10_000)
    for number in range(6):
        one.send(body(number, 4000))
    one.send(body(9))
    frames = pump(one, other)
    assert sorted(number for numbers in frames for number in numbers) == [0, 1, 2, 3, 4, 5, 9]
    assert next(number for numbers in frames for number in numbers) == 9, (
        "what is small does not wait for those that do"
    )
