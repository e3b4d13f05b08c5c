"""The main job: ranks the functions in a folder of Python files by cyclomatic complexity, on an embedded cluster.

The measure is McCabe's (A Complexity Measure, IEEE Transactions on Software Engineering SE-2, 1976): decisions plus
one. Decisions are

- `if`, `elif`, `while`, `for`, `async for`, `x if c else y`: one each (`else`, `with`, `try`, `finally`: none);
- `except`: one for each handler; `assert`: one, for it is an `if` with a `raise`;
- `and`, `or`: one for each operator, as McCabe counts compound conditions;
- comprehensions: one for each `for` and each `if` in them;
- `case`: one each, except a last `case _:` or `case name:` without a guard; one more for the guard.

A function inside another is counted by itself; a lambda and the body of a class belong to the function around
them. A function's size is its lines from `def` to its end. Code outside functions is not counted.

The text of the files travels to the workers, so the job would run just the same with workers elsewhere:
`MANYHANDS_ADDRESS=HOST:PORT` names their master.
"""

import argparse
import ast
import os
import sys
import sysconfig
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from manyhands import Client


class Function(NamedTuple):
    complexity: int
    lines: int
    name: str
    line: int
    file: str


def measure(file: tuple[str, bytes]) -> list[Function] | None:
    """The functions of one file (its name and text), or None if it does not parse. This is the task."""
    name, text = file
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old spellings in other people's strings
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two: nested too deeply
        return None
    # The innermost function around each node, as its number in `found`; -1 outside.
    found: list[ast.FunctionDef | ast.AsyncFunctionDef] = []
    names: list[str] = []
    decisions: list[int] = []
    pending: list[tuple[ast.AST, str, int]] = [(tree, "", -1)]
    while pending:
        node, prefix, owner = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            owner = len(found)
            found.append(node)
            names.append(prefix + node.name)
            decisions.append(0)
            prefix = f"{prefix}{node.name}."
        elif isinstance(node, ast.ClassDef):
            prefix = f"{prefix}{node.name}."
        elif owner >= 0:
            decisions[owner] += decisions_in(node)
        pending += [(child, prefix, owner) for child in ast.iter_child_nodes(node)]
    return [
        Function(1 + count, (node.end_lineno or node.lineno) - node.lineno + 1, qualified, node.lineno, name)
        for node, qualified, count in zip(found, names, decisions, strict=True)
    ]


def decisions_in(node: ast.AST) -> int:
    """The decisions that this node makes, without those of the nodes below it."""
    if isinstance(node, ast.If | ast.IfExp | ast.While | ast.For | ast.AsyncFor | ast.ExceptHandler | ast.Assert):
        return 1
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 1
    if isinstance(node, ast.comprehension):
        return 1 + len(node.ifs)
    if isinstance(node, ast.match_case):
        always = isinstance(node.pattern, ast.MatchAs) and node.pattern.pattern is None
        return (not always) + (node.guard is not None)
    return 0


def read_files(folder: Path) -> tuple[list[tuple[str, bytes]], int]:
    """Name and text of each Python file below `folder`, and how many could not be read."""
    files = []
    unreadable = 0
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in {"site-packages", "dist-packages"}]
        for path in (Path(parent, name) for name in names if name.endswith(".py")):
            try:
                files.append((str(path.relative_to(folder)), path.read_bytes()))
            except OSError:
                unreadable += 1
    files.sort()
    return files, unreadable


def ranked(reports: Iterable[list[Function] | None]) -> tuple[list[Function], int]:
    """All functions, the most complex first, and how many files did not parse."""
    functions: list[Function] = []
    unparsed = 0
    for report in reports:
        if report is None:
            unparsed += 1
        else:
            functions += report
    functions.sort(key=lambda each: (-each.complexity, -each.lines, each.file, each.line))
    return functions, unparsed


def print_report(functions: list[Function], top: int) -> None:
    print(f"\n{'complexity':>10}  {'lines':>5}  function")
    for each in functions[:top]:
        print(f"{each.complexity:>10}  {each.lines:>5}  {each.name}  ({each.file}:{each.line})")
    total = len(functions)
    print(f"\n{total:,} functions, {sum(each.lines for each in functions):,} lines in them", end="")
    if total:
        mean = sum(each.complexity for each in functions) / total
        median = functions[total // 2].complexity
        over = sum(each.complexity > 10 for each in functions)
        print(f"; complexity: mean {mean:.1f}, median {median}, above 10 in {over:,} ({over / total:.1%})", end="")
    print()


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Rank the functions in a folder of Python files by cyclomatic complexity, on all cores."
    )
    library = Path(sysconfig.get_path("stdlib"))
    parser.add_argument(
        "folder", type=Path, nargs="?", default=library, help="its Python files, below site-packages excepted "
        "(default: Python's own library)"
    )  # fmt: skip
    parser.add_argument("--top", type=int, default=15, metavar="N", help="functions to list (default: 15)")
    parser.add_argument("--no-serial", action="store_true", help="do not run the same code serially for comparison")
    arguments = parser.parse_args()
    folder = arguments.folder
    if not folder.is_dir():
        parser.exit(1, f"complexity: there is no folder {str(folder)!r}\n")
    files, unreadable = read_files(folder)
    if not files:
        parser.exit(1, f"complexity: no Python file could be read below {str(folder)!r}\n")
    print(f"{len(files):,} files, {sum(len(text) for _, text in files) / 1e6:.1f} MB, in {folder}", flush=True)

    begun = time.perf_counter()
    with Client() as client:
        started = time.perf_counter()
        functions, unparsed = ranked(client.map_unordered(measure, files, progress=True))
        done = time.perf_counter()
        stats = client.get_stats()
    print_report(functions, arguments.top)
    print(f"{len(files) - unparsed:,} files measured, {unparsed} that do not parse, {unreadable} that cannot be read")
    print(f"\nthe cluster's start    {started - begun:6.2f} s")
    print(f"on the cluster         {done - started:6.2f} s   (its slots were busy for {stats['efficiency']:.0%} of it)")
    if arguments.no_serial:
        return 0

    # After the cluster's run, so that whatever the machine caches favours this one.
    begun = time.perf_counter()
    same, _ = ranked(map(measure, files))
    serial = time.perf_counter() - begun
    if same != functions:
        parser.exit(1, "complexity: the serial run found something else than the cluster; this is a bug\n")
    print(f"serially, right here   {serial:6.2f} s   (same result)")
    print(f"speed-up               {serial / (done - started):6.2f}")
    return 0


sys.exit(main())
