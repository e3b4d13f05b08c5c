"""Another user of this machine: what he gets when he tries something. It takes root to become one.

As a script, with the name of an attempt and what it is about, it becomes that user and prints what he got.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

#: Nobody, as the system's tables call him.
UID = 65534

#: The beginning of a command that runs the rest of it as that user. He may read any file, or else he could not start
#: this Python where it lies in the home of somebody else; so it is no way to see what he may read.
THROUGH = (
    "setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups",
    "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search", "--bounding-set=-all,+dac_read_search",
)  # fmt: skip


def attempt(name: str, *arguments: str | Path) -> str:
    """What he got, or the name of the error that it was."""
    command = [sys.executable, "-P", __file__, name, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    answer: str = json.loads(done.stdout)
    return answer


def read(path: str) -> str:
    return Path(path).read_bytes().decode(errors="replace")


def listing(path: str) -> str:
    return " ".join(each.name for each in Path(path).iterdir())


def connect(path: str) -> str:
    """A path that begins with @ is of Linux's abstract namespace."""
    with _connected(path):
        return "connected"


def say(path: str, said: str) -> str:
    """Hexadecimal, both what is said and what is heard before the other side hangs up."""
    with _connected(path) as link:
        link.sendall(bytes.fromhex(said))
        heard = b""
        while part := link.recv(4096):
            heard += part
        return heard.hex()


def _connected(path: str) -> socket.socket:
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(10)
    link.connect(f"\0{path[1:]}" if path.startswith("@") else path)
    return link


ATTEMPTS: dict[str, Callable[..., str]] = {"read": read, "listing": listing, "connect": connect, "say": say}


if __name__ == "__main__":
    os.setgroups([])
    os.setresgid(UID, UID, UID)
    os.setresuid(UID, UID, UID)
    try:
        got = ATTEMPTS[sys.argv[1]](*sys.argv[2:])
    except OSError as error:
        got = type(error).__name__
    print(json.dumps(got))
