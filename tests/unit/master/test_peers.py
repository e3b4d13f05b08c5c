"""A peer that does not read: told once when it lags, and once when it has read enough."""

from __future__ import annotations

import pytest

from manyhands.master import peers
from manyhands.master.peers import Peer
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.session import ProtocolError, Session


def make_peer() -> Peer:
    return Peer(1, pb.Hello(role=pb.ROLE_CLIENT, name="c", session=bytes(16)))


def test_who_lags_is_told_once_and_once_more_when_enough_is_read() -> None:
    peer = make_peer()
    told: list[bool] = []
    peer.watch_unread(10_000, lambda peer: told.append(peer.lags))
    other = Session()
    for number in range(12):
        peer.send(pb.Body(define=pb.Define(hash=bytes([number]), blob=bytes(1000))))
    assert told == [True]
    while (frame := peer.session.next_frame()) is not None:
        other.receive(frame)
        other.applied()
    peer.heard()
    assert told == [True], "written is not read"
    peer.session.receive(other.bare_frame())
    peer.heard()
    peer.heard()
    assert told == [True, False]


def test_who_asks_on_and_on_must_read_the_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "UNREAD_ANSWERS", 10)
    peer, other = make_peer(), Session()
    for _ in range(5):
        for _ in range(10):
            peer.asked()
            peer.send(pb.Body(define=pb.Define()))
        while (frame := peer.session.next_frame()) is not None:
            other.receive(frame)
            other.applied()
        peer.session.receive(other.bare_frame())
    with pytest.raises(ProtocolError, match="client c asks on and on"):
        for _ in range(11):
            peer.asked()
    peer = make_peer()
    with pytest.raises(ProtocolError):
        peer.asked(10 * peers.ANSWER_BYTES)
