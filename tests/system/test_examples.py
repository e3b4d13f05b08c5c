"""The examples, run as people run them: scripts as processes, with their figures checked by hand."""

import gzip
import importlib.util
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run_example(name: str, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / f"{name}.py", *arguments],
        capture_output=True, text=True, timeout=50, check=False, cwd=cwd,
    )  # fmt: skip


# Each line's decisions are in its comment; a function has one more than its decisions.
SAMPLE = """
    import re

    LOOSE = [x for x in range(3) if x]      # outside any function: not counted


    def straight(x):
        with open(x) as file:
            try:
                return file.read()
            finally:
                print("done")


    def winding(x, y):
        if x and y or not x:                # if, and, or: 3
            return 1
        elif y:                             # 1
            return 2
        for item in x:                      # 1
            while item:                     # 1
                item -= 1
        else:
            assert y                        # 1
        try:
            z = [a for b in x for a in b if a if b]     # 4
        except KeyError:                    # 1
            pass
        except (TypeError, ValueError):     # 1
            pass
        return (lambda k: 1 if k else 2)(z)     # 1


    class Outer:
        async def method(self, stream):
            async for item in stream:       # 1
                match item:
                    case 0:                 # 1
                        pass
                    case int(n) if n > 5:   # 2
                        pass
                    case other if other:    # 1
                        pass
                    case _:                 # none
                        pass

            def inner():
                return 1 if stream else 2   # 1

            return inner
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "sample.py").write_text(textwrap.dedent(SAMPLE))
    (folder / "empty.py").write_text("")
    (folder / "old.py").write_text("print 'a python 2 file'\n")
    (folder / "noise.py").write_text('pattern = "\\d"\n')  # a SyntaxWarning to whoever compiles it
    (folder / "notes.txt").write_text("def not_python(): pass\n")
    (folder / "site-packages").mkdir()
    (folder / "site-packages" / "others.py").write_text("def others(): pass\n")
    return folder


def test_complexity_ranks_functions_and_compares_with_a_serial_run(folder: Path, tmp_path: Path) -> None:
    done = run_example("complexity", folder, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    table = [line.split(maxsplit=2) for line in done.stdout.splitlines() if "sample.py" in line]
    where = str(Path("deep", "er", "sample.py"))
    assert table == [
        ["15", "17", f"winding  ({where}:15)"],
        ["6", "16", f"Outer.method  ({where}:35)"],
        ["2", "2", f"Outer.method.inner  ({where}:47)"],
        ["1", "6", f"straight  ({where}:7)"],
    ]
    assert "4 files, " in done.stdout
    assert "4 functions, 41 lines in them; complexity: mean 6.0, median 2, above 10 in 1 (25.0%)" in done.stdout
    assert "3 files measured, 1 that do not parse, 0 that cannot be read" in done.stdout
    assert "(same result)" in done.stdout
    assert re.search(r"^speed-up +\d+\.\d\d$", done.stdout, re.MULTILINE)
    assert done.stderr.startswith("measure: 4 of 4 done")
    assert done.stderr.count("\n") == 1


def test_complexity_options(folder: Path, tmp_path: Path) -> None:
    done = run_example("complexity", "--top", "1", "--no-serial", folder, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("sample.py") == 1
    assert "speed-up" not in done.stdout


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("nowhere", "complexity: there is no folder 'nowhere'\n"),
        ("bare", "complexity: no Python file could be read below 'bare'\n"),
    ],
)
def test_complexity_without_python_files(tmp_path: Path, argument: str, sentence: str) -> None:
    (tmp_path / "bare").mkdir()
    done = run_example("complexity", argument, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", sentence)


def test_sweep_finds_the_best_windows(tmp_path: Path) -> None:
    done = run_example("sweep", "--top", "5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first, _, head, *rows = done.stdout.splitlines()
    assert first.startswith("1560 pairs of windows; holding all the time: ")
    assert head.split() == ["fast", "slow", "growth"]
    found = [re.fullmatch(r" +(\d+) +(\d+) +(\d+\.\d\d)", row) for row in rows]
    assert all(found)
    growth = [float(each[3]) for each in found if each]
    assert len(growth) == 5
    assert growth == sorted(growth, reverse=True)
    assert found[0] is not None
    assert growth[0] == pytest.approx(slow_backtest(int(found[0][1]), int(found[0][2])), abs=0.006)


def test_calibrate_finds_the_rates_again(tmp_path: Path) -> None:
    done = run_example("calibrate", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    contact, recovery, *shares, last = done.stdout.splitlines()
    for line, name, true in ((contact, "contact", 0.6), (recovery, "recovery", 0.2)):
        found = re.fullmatch(rf"{name} +(\S+), give or take (\S+); it was {true}", line)
        assert found, line
        assert float(found[1]) == pytest.approx(true, rel=0.4)
    assert sum(int(each.split()[5]) for each in shares[1:]) == 600
    assert last.startswith("600 evaluations in ")
    one, two = (
        run_example("calibrate", "--mode", "windowed", "--budget", "60", cwd=tmp_path).stdout.splitlines()[:2]
        for _ in range(2)
    )
    assert one == two


def test_tune_model_finds_what_says_nothing(tmp_path: Path) -> None:
    done = run_example("tune_model", "--plot", "picture.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first, *rows = done.stdout.splitlines()
    errors = re.fullmatch(r"600 models: error (\S+); the first one had (\S+), noise 0\.2", first)
    assert errors
    assert 0.2 < float(errors[1]) < 0.25 < float(errors[2])
    found = dict(row.split() for row in rows)
    assert found["kernel"] == "gauss"
    assert float(found["third"]) < 0.2 < float(found["second"])
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_tune_model_with_scikit_learn_or_a_sentence(tmp_path: Path) -> None:
    done = run_example("tune_model", "--model", "forest", "--budget", "10", cwd=tmp_path)
    if importlib.util.find_spec("sklearn") is None:
        sentence = "tune_model: needs scikit-learn, which is not installed\n"
        assert (done.returncode, done.stdout, done.stderr) == (1, "", sentence)
    else:
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("10 models: error 0.")


def slow_backtest(fast: int, slow: int) -> float:
    """The same rule day by day: what was known the evening before decides."""
    prices = 100 * np.exp(np.cumsum(np.random.default_rng(seed=7).normal(0.0002, 0.01, size=5_000)))
    value, invested = 1.0, False
    for day in range(slow, len(prices)):
        before = invested
        invested = prices[day - fast : day].mean() > prices[day - slow : day].mean()
        value *= (prices[day] / prices[day - 1] if invested else 1.0) * (0.999 if invested != before else 1.0)
    return value


def test_compress_does_all_files_and_reports_the_one_that_fails(tmp_path: Path) -> None:
    (tmp_path / "in" / "folder").mkdir(parents=True)
    for name in ("one", "two", "three"):
        (tmp_path / "in" / name).write_text(name * 1000)
    (tmp_path / "out" / "two.gz").mkdir(parents=True)  # stands in the way of the result
    done = run_example("compress", "in", "out", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("2 files compressed, 8,000 bytes into ")
    assert second.startswith("failed: two: [Errno 21] Is a directory")
    assert gzip.decompress((tmp_path / "out" / "one.gz").read_bytes()) == b"one" * 1000
    assert gzip.decompress((tmp_path / "out" / "three.gz").read_bytes()) == b"three" * 1000
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["one.gz", "three.gz", "two.gz"]


def test_compress_without_a_folder(tmp_path: Path) -> None:
    done = run_example("compress", "nowhere", "out", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("usage: compress.py FOLDER TARGET")


def test_resume_goes_on_where_it_was(tmp_path: Path) -> None:
    first, second, further = (
        run_example("resume", end, "./kept", cwd=tmp_path).stdout for end in ("50000", "50000", "60000")
    )
    assert first == "5133 primes below 50000; 0 parts were known already\n"
    assert second == "5133 primes below 50000; 10 parts were known already\n"
    assert further == "6057 primes below 60000; 10 parts were known already\n"


def test_score_loads_the_model_it_is_given(tmp_path: Path) -> None:
    np.savez(tmp_path / "model.npz", hidden=np.zeros((64, 2)), output=np.ones(2))
    done = run_example("score", "model.npz", "--batches", "3", cwd=tmp_path)
    assert done.stdout == "3 batches scored; mean 0.5000, best 0.5000 (batch 0)\n", done.stderr
    own = run_example("score", cwd=tmp_path)
    assert re.fullmatch(r"200 batches scored; mean 0\.\d{4}, best 0\.\d{4} \(batch \d+\)\n", own.stdout), own.stderr


def test_score_without_its_model(tmp_path: Path) -> None:
    done = run_example("score", "nowhere.npz", "--batches", "3", cwd=tmp_path)
    assert done.returncode == 1
    assert "No such file or directory" in done.stderr
    assert "(raised by the set-up that with_options(context=) names, before the task itself)" in done.stderr


def test_montecarlo_gives_the_same_to_the_last_bit_and_about_what_others_do(tmp_path: Path) -> None:
    one, two = (run_example("montecarlo", "--batches", "10", cwd=tmp_path) for _ in range(2))
    assert one.stdout == two.stdout, one.stderr + two.stderr
    found = re.fullmatch(r"20,000 paths: the option is worth (\S+), give or take (\S+) \(0x.*\)\n", one.stdout)
    assert found
    assert float(found[2]) < 0.05
    assert float(found[1]) == pytest.approx(3.156, abs=4 * float(found[2])), "a million paths give that"


def test_wordcount_counts_words(tmp_path: Path) -> None:
    (tmp_path / "code" / "site-packages").mkdir(parents=True)
    (tmp_path / "code" / "one.py").write_text("the cat, the_dog = THE(1)\n")
    (tmp_path / "code" / "two.py").write_text("a cat; größe\n")
    (tmp_path / "code" / "site-packages" / "not.py").write_text("the\n")
    done = run_example("wordcount", "code", "--top", "3", cwd=tmp_path)
    assert done.stdout.splitlines() == [
        "2 files, 7 words, 4 different ones",
        "         3  the",
        "         2  cat",
        "         1  dog",
    ], done.stderr
