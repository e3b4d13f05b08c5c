"""What a peer is sent, once."""

import pytest

from manyhands.master import sessions
from manyhands.master.sessions import Peer
from manyhands.protos import manyhands_pb2 as pb


def defined(peer: Peer) -> list[bytes]:
    """Hashes of the definitions that it is sent next."""
    frame = peer.session.next_frame()
    return [] if frame is None else [body.define.hash for body in frame.bodies]


def test_a_definition_is_sent_once() -> None:
    peer = Peer(1, pb.Hello(role=pb.ROLE_WORKER))
    for _ in range(2):
        for hash in (b"a", b"b"):
            peer.define(hash, b"blob", 7)
    assert defined(peer) == [b"a", b"b"]


def test_what_was_sent_is_not_remembered_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_TOLD", 3)
    peer = Peer(1, pb.Hello(role=pb.ROLE_WORKER))
    for number in range(10):
        peer.define(b"%d" % number, b"blob", 7)
        assert len(peer.told) <= 3
    peer.define(b"9", b"blob", 7)  # still known
    peer.define(b"0", b"blob", 7)  # sent again
    assert defined(peer) == [*(b"%d" % number for number in range(10)), b"0"]
