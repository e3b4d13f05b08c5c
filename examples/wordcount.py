"""Word count by key: how often each word occurs in the Python files of a folder, by default the standard library's.

Workers read the files, count within what they have read, and exchange counts among themselves, so that each word's
meet in one place. The files do not travel, nor does a word once for each time that it occurs.
"""

import argparse
import operator
import re
import sysconfig
from pathlib import Path

from manyhands import Client

WORD = re.compile(r"[^\W\d_]{2,}")


def words(path):
    """(word, 1) for each word of a file, in lower case."""
    for match in WORD.finditer(path.read_text(errors="replace")):
        yield match[0].lower(), 1


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("folder", nargs="?", type=Path, default=Path(sysconfig.get_path("stdlib")))
parser.add_argument("--top", type=int, default=10)
arguments = parser.parse_args()
folder = arguments.folder.absolute()
files = [path for path in sorted(folder.rglob("*.py")) if "site-packages" not in path.relative_to(folder).parts]

with Client() as client:
    counts = client.map_reduce_by_key(words, files, operator.add)

print(f"{len(files):,} files, {sum(counts.values()):,} words, {len(counts):,} different ones")
for word, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[: arguments.top]:
    print(f"{count:>10,}  {word}")
