"""What fuzzing sends: one field is other than it was, in every message; and a fault that is planted is found."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from tests.fuzz import blocks, frames
from tests.fuzz.life import attack_life
from tests.fuzz.mutation import mutate
from tests.fuzz.plausible import PlausibleClient, PlausibleWorker
from tests.fuzz.run import fault_in
from tests.fuzz.tally import CLASSES, ONE_FIELD, Tally

from manyhands.master import engine
from manyhands.master.validation import check
from manyhands.protos import manyhands_pb2 as pb


@pytest.mark.parametrize("make_player", [PlausibleClient, PlausibleWorker])
def test_what_players_say_is_what_whole_peers_say(make_player: type[PlausibleClient | PlausibleWorker]) -> None:
    kinds = Counter()
    for seed in range(60):
        player = make_player(Random(seed))
        for _ in range(15):
            body = player.next()
            kind = body.WhichOneof("kind")
            assert kind is not None
            check(kind, pb.Body.FromString(body.SerializeToString()))
            kinds[kind] += 1
    assert len(kinds) >= 7, kinds


def test_a_mutation_changes_one_field_and_the_same_seed_makes_the_same() -> None:
    changed = 0
    for seed in range(500):
        made = []
        for _ in range(2):
            rng = Random(seed)
            player = PlausibleClient(rng) if seed % 2 else PlausibleWorker(rng)
            for _ in range(seed % 7):
                player.next()
            body = player.next()
            before = body.SerializeToString(deterministic=True)
            how = mutate(body, rng, large=1000)
            made.append((how, body.SerializeToString(deterministic=True)))
        assert made[0] == made[1]
        changed += made[0][1] != before
    assert changed > 400  # some values are what was there before


def test_each_way_to_make_a_block_or_a_frame_wrong_does_so() -> None:
    ways: Counter[str] = Counter()
    for seed in range(400):
        rng = Random(seed)
        block = pb.Block(job=7, first=3, ends=b"\1\0\0\0\3\0\0\0\4\0\0\0", payload=b"abcd", call=pb.CALL_APPLY)
        before = block.SerializeToString()
        ways[blocks.make_wrong(block, rng)] += block.SerializeToString() != before
        frame = pb.Frame(sequence=9, acknowledged=2, bodies=[pb.Body(watch=pb.Watch(job=1))])
        before = frame.SerializeToString()
        ways[frames.make_wrong(frame, rng)] += frame.SerializeToString() != before
    assert set(blocks.names()) < set(ways)
    assert min(ways.values()) > 0


def test_tallies_add_up_and_survive_their_journey() -> None:
    tally = Tally(sessions=2, crashes=["one"])
    tally.inputs[ONE_FIELD[0], "refused"] += 3
    tally.inputs[CLASSES[-1], "closed"] += 1
    total = Tally()
    for _ in range(2):
        total.add(Tally.from_json(tally.as_json()))
    assert (total.total, total.one_field, total.sessions, total.crashes) == (8, 6, 4, ["one", "one"])


def test_a_traceback_is_a_fault_unless_a_task_printed_it() -> None:
    trace = "Traceback (most recent call last):\n  File x\nKeyError: 1\n"
    assert "KeyError" in fault_in(f"17:00:00 joined\n{trace}")
    assert fault_in("".join(f"[0] {line}\n" for line in trace.splitlines())) == ""


def test_a_planted_fault_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(kind: str, body: pb.Body) -> None:
        check(kind, body)
        if kind == "crash" and body.crash.report.exit_code > 1 << 16:
            raise KeyError("nobody thought of that")

    monkeypatch.setattr(engine, "check", careless)
    tally = attack_life("planted", seconds=40.0)
    assert tally.crashes
    assert "nobody thought of that" in tally.crashes[0]
    assert "crash.report.exit_code" in tally.crashes[0], "it tells what was sent"


def test_a_life_under_attack_serves_others_and_goes_on_from_its_journal() -> None:
    tally = attack_life("whole", seconds=30.0, inputs=1500)
    assert tally.crashes == []
    assert tally.total >= 1500
    assert tally.one_field * 2 > tally.total
    assert tally.probes > 0
