"""Files processed with retries: compresses every file of a folder into another, and reports those that failed.

A task may run twice: after an error because of `retries`, and also when its worker was lost. So it writes under a name
of its own and renames the file when it is whole: whoever comes second replaces it by the same.
"""

import concurrent.futures
import gzip
import os
import shutil
import sys
from pathlib import Path

from manyhands import Client


def compress(source, target):
    """Bytes before and after. Raises OSError."""
    unfinished = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        with source.open("rb") as reading, gzip.open(unfinished, "wb") as writing:
            shutil.copyfileobj(reading, writing)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return source.stat().st_size, target.stat().st_size


if len(sys.argv) != 3 or not Path(sys.argv[1]).is_dir():
    sys.exit(f"usage: {Path(sys.argv[0]).name} FOLDER TARGET: compress the files of FOLDER into the folder TARGET")
folder, target = (Path(argument).absolute() for argument in sys.argv[1:])
target.mkdir(parents=True, exist_ok=True)
before = after = 0
failures = []
with Client() as client:
    # Network drives have their moments: two more attempts, but only after errors of the file system.
    careful = client.with_options(retries=2, retry_delay=0.1, retry_on=(OSError,), name="compress")
    sources = {
        careful.submit(compress, path, target / f"{path.name}.gz"): path for path in folder.iterdir() if path.is_file()
    }
    for future in concurrent.futures.as_completed(sources):
        try:
            size, compressed = future.result()
        except OSError as error:
            failures.append(f"{sources[future].name}: {error}")
        else:
            before, after = before + size, after + compressed

print(f"{len(sources) - len(failures)} files compressed, {before:,} bytes into {after:,}")
for failure in sorted(failures):
    print(f"failed: {failure}")
sys.exit(1 if failures else 0)
