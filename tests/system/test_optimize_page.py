"""docs/optimize.md's Python, run from top to bottom as one script, on an embedded cluster with a journal."""

import inspect
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

from manyhands.optimize.methods import METHODS
from manyhands.optimize.variation import Variation

PAGE = (Path(__file__).parents[2] / "docs" / "optimize.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_all_that_the_page_shows(tmp_path: Path) -> None:
    first, *others = BLOCKS
    script = [first, 'client = Client(slots=2, data_dir="journal")\n', *others, "client.shutdown()\n"]
    path = tmp_path / "script.py"
    path.write_text("".join(script))
    done = subprocess.run(
        [sys.executable, "-W", "error", path], capture_output=True, text=True, timeout=50, check=False, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    best, _, inf, sixteen, target, constrained, failed, shapes, front, cells, centre = done.stdout.splitlines()
    assert "'layers': 4, 'width': 128, 'act': 'tanh'" in best
    assert (inf, sixteen, target, cells) == ("inf", "16", "target", "400")
    found = re.fullmatch(r"{'x': (0\.(?:49|50)\d*), 'y': (0\.(?:49|50)\d*)}", constrained)
    assert found, constrained
    assert 1 <= float(found[1]) + float(found[2]) < 1.001
    assert re.fullmatch(r"\d+ failed", failed)
    assert re.fullmatch(r"\((\d+),\) \(\1,\) \['ok' 'ok' 'ok'\] \S+", shapes)
    assert int(front.split()[0]) > 50
    assert centre.startswith("{'x': ")


def test_the_page_names_all_methods_and_their_settings() -> None:
    part = PAGE.partition("## Which method")[2].partition("## Spaces")[0]
    methods, operators = part.split("\n\n")[1:3]
    rows = {row.split("`")[1]: set(row.split("`")[1::2]) for row in methods.splitlines()[2:]}
    assert rows.keys() == METHODS.keys()
    given = {"cube", "seed", "budget", "initial", "variation"}
    for name, make in METHODS.items():
        assert inspect.signature(make).parameters.keys() - given <= rows[name], name
    assert {each.name for each in fields(Variation)} <= set(operators.split("`")[1::2])
