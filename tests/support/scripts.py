"""User scripts for tests: written to a folder and run there as processes, with a scratch folder of their own."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path


def scratch(folder: Path) -> Path:
    """Where a script started in `folder` puts its temporary files."""
    path = folder / "tmp"
    path.mkdir(exist_ok=True)
    return path


def left_over(folder: Path) -> list[Path]:
    """What processes have left there, but for the folder, made once, of all data that memory has no room for."""
    return [path for path in scratch(folder).rglob("*") if not (path.is_dir() and path.name.endswith("-spill"))]


def start(folder: Path, text: str) -> subprocess.Popen[str]:
    path = folder / "script.py"
    path.write_text(textwrap.dedent(text))
    return subprocess.Popen(
        [sys.executable, str(path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
        env={**os.environ, "TMPDIR": str(scratch(folder))}, start_new_session=True,
    )  # fmt: skip


def run(folder: Path, text: str, timeout: float = 50) -> subprocess.CompletedProcess[str]:
    process = start(folder, text)
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"it did not end; stdout: {out}\nstderr: {err}") from None
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)
