"""A peer that does not read: told once when it lags, and once when it has read enough."""

from __future__ import annotations

from manyhands.master.peers import Peer
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.session import Session


def test_who_lags_is_told_once_and_once_more_when_enough_is_read() -> None:
    peer = Peer(1, pb.Hello(role=pb.ROLE_CLIENT, name="c", session=bytes(16)))
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
