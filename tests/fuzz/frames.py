"""Frames under attack: what is around a valid message is wrong in one field."""

from __future__ import annotations

from random import Random

from manyhands.protos import manyhands_pb2 as pb


def make_wrong(frame: pb.Frame, rng: Random) -> str:
    """Change a frame that is next in its session, in place; return how."""
    kind = rng.choice(
        (
            "replayed",
            "skipped",
            "unnumbered",
            "acknowledged ahead",
            "fragment",
            "handshake",
            "emptied",
            "doubled",
            "large",
        )
    )
    if kind == "replayed":
        frame.sequence -= min(frame.sequence, rng.randrange(1, 5))
    elif kind == "skipped":
        frame.sequence = rng.choice(
            (frame.sequence + 1, frame.sequence + rng.randrange(2, 5000), 1 << 63, (1 << 64) - 1)
        )
    elif kind == "unnumbered":
        frame.sequence = 0
    elif kind == "acknowledged ahead":
        frame.acknowledged = rng.choice((frame.acknowledged + 1000, 1 << 31, 1 << 63, (1 << 64) - 1))
    elif kind == "fragment":
        _fragment(frame, rng)
    elif kind == "handshake":
        _handshake(frame, rng)
    elif kind == "emptied":
        del frame.bodies[:]
    elif kind == "doubled":
        frame.bodies.extend(list(frame.bodies) * rng.choice((1, 20)))
    else:
        frame.bodies.add(define=pb.Define(hash=rng.randbytes(16), blob=bytes(rng.choice((300_000, 1 << 20)))))
    return kind


def _fragment(frame: pb.Frame, rng: Random) -> None:
    body = frame.bodies[0].SerializeToString()
    frame.fragment.id = rng.choice((0, 1, 2, 1 << 62, 1 << 63, (1 << 64) - 1))
    frame.fragment.data = rng.choice((body, body[: len(body) // 2], rng.randbytes(20), b"", bytes(4096)))
    frame.fragment.last = rng.random() < 0.5
    if rng.random() < 0.5:
        del frame.bodies[:]


def _handshake(frame: pb.Frame, rng: Random) -> None:
    kind = rng.choice(("hello", "welcome", "refusal"))
    if kind == "hello":
        frame.hello.session = bytes(16)
        frame.hello.role = pb.ROLE_WORKER
    elif kind == "welcome":
        frame.welcome.received = 1 << 63
    else:
        frame.refusal.code = pb.Refusal.CODE_INVALID
        frame.refusal.sentence = "no, you"
