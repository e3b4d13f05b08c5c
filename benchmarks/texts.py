"""Owns the texts whose words are counted, and what the measured systems' tasks do with one file of them."""

import os
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

#: They make a file of the generated text about 10 MB large.
WORDS_PER_FILE = 2_250_000
WORDS_PER_LINE = 20
#: Distinct words; how often one occurs goes down with its rank, as in a language (Zipf's law).
VOCABULARY = 50_000

_CONSONANTS, _VOWELS = "bcdfghjklmnprstvwxyz", "aeiou"


def standard_library() -> list[str]:
    """The sources of this Python's standard library."""
    root = Path(sysconfig.get_path("stdlib"))
    return [str(path) for path in sorted(root.rglob("*.py")) if "site-packages" not in path.parts]


def generated_text(files: int) -> list[str]:
    """That many files of `WORDS_PER_FILE` words, always the same; written once a run."""
    import numpy as np

    folder = Path(os.environ["BENCH_SCRATCH"], "text")
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number:03}.txt" for number in range(files)]
    missing = [(number, path) for number, path in enumerate(paths) if not path.exists()]
    if missing:
        names = [_word(rank) for rank in range(VOCABULARY)]
        # Fixed widths, filled up with NUL: so numpy writes the text at once, and NUL is taken out again.
        words, last_words = (np.array([name + end for name in names], dtype="S") for end in (" ", "\n"))
    for number, path in missing:
        chance = np.random.default_rng(number).random(WORDS_PER_FILE)
        ranks = np.exp(chance * np.log(VOCABULARY)).astype(np.int64) - 1
        text = words[ranks]
        text[WORDS_PER_LINE - 1 :: WORDS_PER_LINE] = last_words[ranks[WORDS_PER_LINE - 1 :: WORDS_PER_LINE]]
        partial = path.with_suffix(".partial")
        partial.write_bytes(text.tobytes().translate(None, b"\0"))
        partial.rename(path)
    return [str(path) for path in paths]


def _word(rank: int) -> str:
    """Syllables: the frequent words are the short ones."""
    rank, syllable = divmod(rank, len(_CONSONANTS) * len(_VOWELS))
    consonant, vowel = divmod(syllable, len(_VOWELS))
    return (_word(rank - 1) if rank else "") + _CONSONANTS[consonant] + _VOWELS[vowel]


def words_of(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8", errors="replace").split()


def pairs_of(path: str) -> Iterator[tuple[str, int]]:
    for word in words_of(path):
        yield word, 1


def counter_of(path: str) -> Counter[str]:
    return Counter(words_of(path))


def counts_of(path: str) -> Iterable[tuple[str, int]]:
    return counter_of(path).items()


def merged(counts: Iterable[Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return total
