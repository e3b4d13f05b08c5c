"""Owns one repetition in a process of its own: `python -m benchmarks.child MEASURE SYSTEM SCALE OUTPUT`.

OUTPUT receives JSON: {"readings": [...]} or {"failure": sentence}. What is printed goes to the parent's log.
"""

import faulthandler
import json
import sys
import traceback
from pathlib import Path

from benchmarks.measures import MEASURES
from benchmarks.orphans import adopt_orphans
from benchmarks.readings import Scale


def main(measure_name: str, system_name: str, scale_json: str, output: str) -> int:
    measure = MEASURES[measure_name]
    # A repetition that hangs says where, just before its parent ends it.
    faulthandler.dump_traceback_later(max(measure.TIMEOUT - 2, 1))
    adopt_orphans()
    answer: dict[str, object]
    try:
        readings = measure.run(system_name, Scale(**json.loads(scale_json)))
        answer = {"readings": [reading.as_json() for reading in readings]}
    except BaseException as error:
        traceback.print_exc()
        answer = {"failure": f"{type(error).__name__}: {error}".splitlines()[0]}
    faulthandler.cancel_dump_traceback_later()
    partial = Path(output).with_suffix(".partial")
    partial.write_text(json.dumps(answer))
    partial.rename(output)
    return int("failure" in answer)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
