"""Runs `python -P -m manyhands ...` in this very process under an audit hook: it ends at once if it unpickles.

From the start nothing may be unpickled. Since SIGUSR1, when it prints which of our modules it has, nothing may be made
from bytes or started at all: no import, no code, no process. On SIGUSR2 it does the deed that the variable
MANYHANDS_TEST_DEED names: so a test sees that the hook would have noticed.
"""

import _pickle
import json
import marshal
import os
import pickle
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

EXIT_CODE = 86

#: Events that are never right, and those that are not once everything has been imported.
_NEVER = frozenset({"pickle.find_class"})
_NEVER_WHEN_ARMED = frozenset(
    {"import", "compile", "exec", "marshal.load", "marshal.loads", "code.__new__"}
    | {"os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "subprocess.Popen"}
)

_unpickle = _pickle.loads
_armed = False


def end(deed: str) -> NoReturn:
    os.write(2, f"CAUGHT: {deed}\n".encode())
    os._exit(EXIT_CODE)


def hook(event: str, arguments: tuple[object, ...]) -> None:
    if event in _NEVER or (_armed and event in _NEVER_WHEN_ARMED):
        end(f"{event} {str(arguments)[:200]}")


def caught(name: str) -> Callable[..., NoReturn]:
    """What stands for `name`: a pickle that names no global raises no event."""
    return lambda *_, **__: end(name)


def arm(*_: object) -> None:
    global _armed
    files = [getattr(module, "__file__", None) for name, module in sys.modules.items() if name.startswith("manyhands")]
    print("armed:", json.dumps([*filter(None, files)]), flush=True)
    _armed = True


DEEDS: dict[str, Callable[[], object]] = {
    "unpickle": lambda: _unpickle(Path(os.environ["MANYHANDS_TEST_BOMB"]).read_bytes()),
    "pickle.loads": lambda: pickle.loads(pickle.dumps(1)),
    "pickle.Unpickler": lambda: pickle.Unpickler(sys.stdin.buffer),
    "import": lambda: __import__("colorsys"),
    "compile": lambda: compile("1", "bytes", "eval"),
    "exec": lambda: exec("1"),
    "marshal.loads": lambda: marshal.loads(marshal.dumps(1)),
    "subprocess.Popen": lambda: subprocess.Popen(["true"]),
}


def run(command: list[str]) -> None:
    python, safe, as_module, name, *arguments = command
    assert (python, safe, as_module, name) == (sys.executable, "-P", "-m", "manyhands"), command
    for module in (pickle, _pickle):
        for name_of in ("load", "loads", "Unpickler", "_Unpickler"):
            if hasattr(module, name_of):
                setattr(module, name_of, caught(f"{module.__name__}.{name_of}"))
    signal.signal(signal.SIGUSR1, arm)
    signal.signal(signal.SIGUSR2, lambda *_: DEEDS[os.environ["MANYHANDS_TEST_DEED"]]())
    sys.addaudithook(hook)
    sys.argv = [name, *arguments]
    runpy.run_module(name, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    run(sys.argv[1:])
