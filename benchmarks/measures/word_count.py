"""Owns the rate of counting words by key, in the standard library's sources and in 1 GB of text, and its memory."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from benchmarks.measures.processes import MEGABYTE, family, peak_bytes, reset_peak
from benchmarks.readings import Reading, Scale
from benchmarks.systems import DATA, running
from benchmarks.systems.protocol import DataSystem
from benchmarks.texts import WORDS_PER_FILE, counter_of, generated_text, merged, standard_library

NAME = "word-count"
SYSTEMS = DATA
TIMEOUT = 400.0
REPETITIONS = 1

FILES = 100
#: Word by word, this one gets fewer files; rates are compared.
PEER_FILES = {"dask": 4}
#: Has no reduction by key that takes a word at a time.
COUNTERS_ONLY = ("ray",)

Count = Callable[[Sequence[str]], Mapping[str, int]]


def run(name: str, scale: Scale) -> list[Reading]:
    sources = standard_library()
    expected = merged(map(counter_of, sources))
    paths = generated_text(scale.count(FILES))
    readings = []
    with running(name) as started:
        system = cast("DataSystem", started)
        ways: dict[str, Count] = {".counters": system.count_words_by_counters}
        if name not in COUNTERS_ONLY:
            ways[""] = system.count_words
        for suffix, count in ways.items():
            count(sources[:100])
            counts, reading = _timed(f"{NAME}.library{suffix}", count, sources, expected.total())
            if counts != expected:
                raise AssertionError("word-count: wrong counts of the standard library")
            files = paths[: PEER_FILES.get(name, FILES)] if not suffix else paths
            words = len(files) * WORDS_PER_FILE
            counts, text = _timed(f"{NAME}.text{suffix}", count, files, words)
            if sum(counts.values()) != words:
                raise AssertionError("word-count: wrong counts of the text")
            readings += [reading, text]
            if len(files) == len(paths):
                peak = cast("float", text.detail["largest_process_mb"])
                readings.append(Reading(f"{NAME}.memory{suffix}", peak, "MB", "lower", {"files": len(files)}))
    return readings


def _timed(key: str, count: Count, paths: Sequence[str], words: int) -> tuple[Mapping[str, int], Reading]:
    for process in family():
        reset_peak(process)
    begun = time.perf_counter()
    counts = count(paths)
    seconds = time.perf_counter() - begun
    detail: dict[str, float | str] = {
        "words": words,
        "files": len(paths),
        "distinct": len(counts),
        "seconds": seconds,
        "largest_process_mb": max(peak_bytes(process) for process in family()) / MEGABYTE,
    }
    return counts, Reading(key, words / seconds, "1/s", "higher", detail)
