"""The shape of the source tree: links, names, the direction of imports, first lines, lengths."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "manyhands"

# For each part, the parts it may import besides itself.
MAY_IMPORT = {
    "protos": set(),
    "wire": {"protos"},
    "optimize": {"wire"},
    "master": {"protos", "wire", "optimize"},
    "worker": {"protos", "wire"},
    "client": {"protos", "wire", "optimize"},
}
PARTS = [part for part in MAY_IMPORT if (ROOT / part).exists()]

MAX_LINES = 400
LONGER = {"client/connection.py": 450, "master/scheduler.py": 600, "worker/core.py": 450, "wire/errors.py": 500}


def python_files(folder: Path) -> list[Path]:
    """The Python files below `folder` that people write."""
    files = (path for path in folder.rglob("*.py") if not path.stem.endswith(("_pb2", "_pb2_grpc")))
    return sorted(path for path in files if "__pycache__" not in path.parts)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


PART_FILES = [path for part in PARTS for path in python_files(ROOT / part)]
SOURCES = PART_FILES + sorted(PACKAGE.glob("*.py"))
SLOT_FILES = [path for path in python_files(ROOT / "worker") if path.name.startswith("slot")]


def imported_modules(source: str, package: str) -> Iterator[str]:
    """The dotted names that `source`, a module of `package`, imports; `from a import b` gives a.b."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level else ""
            prefix = ".".join(filter(None, (base, node.module)))
            yield from (f"{prefix}.{alias.name}" for alias in node.names)


def modules_of(path: Path) -> list[str]:
    """What the file at `path`, inside a part's folder, imports."""
    package = ".".join(("manyhands", *path.relative_to(ROOT).parent.parts))
    return sorted(imported_modules(path.read_text(), package))


def run_python(code: str) -> str:
    """What `code` prints, run in the repository's root, where a stray `import wire` would succeed."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("part", PARTS)
def test_part_is_linked_under_the_import_name(part: str) -> None:
    link = PACKAGE / part
    assert link.is_symlink(), f"{link} is no symbolic link: check out with core.symlinks=true"
    assert link.readlink() == Path("..", "..", part)


def test_parts_never_appear_under_bare_names() -> None:
    code = """
import importlib, pkgutil, sys
import manyhands
for module in pkgutil.walk_packages(manyhands.__path__, "manyhands."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print(*sys.modules)
"""
    loaded = set(run_python(code).split())
    assert {f"manyhands.{part}" for part in PARTS} <= loaded
    assert not loaded & MAY_IMPORT.keys()


def test_import_resolution() -> None:
    source = """
import grpc.aio
from . import a
from .b import c
from .. import d
from ..e.f import g
from h import i
"""
    found = set(imported_modules(source, "manyhands.master.drivers"))
    assert found == {
        "grpc.aio",
        "manyhands.master.drivers.a",
        "manyhands.master.drivers.b.c",
        "manyhands.master.d",
        "manyhands.master.e.f.g",
        "h.i",
    }


@pytest.mark.parametrize("path", PART_FILES, ids=relative)
def test_imports_point_one_way(path: Path) -> None:
    part = path.relative_to(ROOT).parts[0]
    # Not `import manyhands`: it gathers the public names, so it imports the parts, never the other way round.
    allowed = {part, "_version"} | MAY_IMPORT[part]
    for name in modules_of(path):
        head, _, rest = name.partition(".")
        assert head not in MAY_IMPORT, f"imports {name}: write manyhands.{name}"
        if head == "manyhands":
            assert rest.split(".")[0] in allowed, f"{part} must not import {name}"


@pytest.mark.parametrize("path", SLOT_FILES, ids=relative)
def test_slots_import_no_grpc(path: Path) -> None:
    for name in modules_of(path):
        assert name.split(".")[0] not in {"grpc", "grpc_tools", "grpc_status"}, name
        assert "_pb2_grpc" not in name


@pytest.mark.parametrize("path", [*SOURCES, *python_files(ROOT / "tests")], ids=relative)
def test_first_line_says_what_the_file_owns(path: Path) -> None:
    first_line = path.read_text().partition("\n")[0]
    assert first_line.startswith(('"""', 'r"""')), "the first line must be a docstring"
    assert first_line.strip('r"').strip()


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_file_is_short(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= LONGER.get(relative(path), MAX_LINES), f"{lines} lines: split it by concern"
