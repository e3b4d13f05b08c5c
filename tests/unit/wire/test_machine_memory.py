"""How much memory this process may use: what the machine has, or its control group allows."""

from __future__ import annotations

from pathlib import Path

import pytest

from manyhands.wire.machine_memory import machine_memory


@pytest.mark.parametrize(
    ("line", "name"),
    [("0::/a/b", "a/memory.max"), ("5:cpu,memory:/a", "memory/a/memory.limit_in_bytes")],
    ids=["v2, of the group around ours", "v1"],
)
def test_a_control_group_allows_less(tmp_path: Path, line: str, name: str) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/cgroup").write_text(line + "\n")
    physical = machine_memory(tmp_path, tmp_path / "cgroups")
    limit = tmp_path / "cgroups" / name
    limit.parent.mkdir(parents=True)
    limit.write_text("max\n")
    assert machine_memory(tmp_path, tmp_path / "cgroups") == physical
    limit.write_text("1000000\n")
    assert machine_memory(tmp_path, tmp_path / "cgroups") == 1_000_000
