"""What a peer is sent, once."""

from manyhands.master.peers import Peer
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
