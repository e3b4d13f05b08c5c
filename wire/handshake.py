"""The handshake: what both ends say of themselves, and who is refused."""

from __future__ import annotations

import os
import platform
import socket
from functools import cache
from importlib import metadata

from manyhands._version import __version__
from manyhands.protos import manyhands_pb2 as pb

#: Raised whenever an older peer could misread what we send.
PROTOCOL = 1

#: Skew in these can break unpickling, so it is worth a warning.
WATCHED_LIBRARIES = ("cloudpickle", "numpy")


@cache  # it reads files, and a master asks for every peer
def _versions() -> dict[str, str]:
    found = {}
    for name in WATCHED_LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def make_hello(role: pb.Role, name: str = "", slots: int = 0) -> pb.Hello:
    """What this process says of itself; the dialer adds the session."""
    return pb.Hello(
        protocol=PROTOCOL,
        package_version=__version__,
        python_version=platform.python_version(),
        libraries=_versions(),
        role=role,
        name=name,
        host=socket.gethostname(),
        pid=os.getpid(),
        slots=slots,
    )


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def refusal(hello: pb.Hello, python_version: str) -> pb.Refusal | None:
    """Why the master, running `python_version`, cannot work with this peer; None if it can."""
    role = {pb.ROLE_WORKER: "worker", pb.ROLE_CLIENT: "client"}.get(hello.role)
    if role is None or len(hello.session) != 16 or (role == "worker" and hello.slots < 1):
        return pb.Refusal(code=pb.Refusal.CODE_INVALID, sentence="the handshake lacks a role, session or slots")
    if hello.protocol != PROTOCOL:
        return pb.Refusal(
            code=pb.Refusal.CODE_VERSION,
            sentence=f"this {role} (manyhands {hello.package_version}) speaks protocol {hello.protocol}, the master "
            f"(manyhands {__version__}) protocol {PROTOCOL}: install the same version of manyhands on both",
        )
    if _minor(hello.python_version) != _minor(python_version):
        return pb.Refusal(
            code=pb.Refusal.CODE_VERSION,
            sentence=f"this {role} runs Python {hello.python_version}, the master {python_version}: pickled functions "
            f"do not cross minor versions; start the {role} with Python {_minor(python_version)}",
        )
    return None


def skew(hello: pb.Hello) -> list[str]:
    """Sentences about library versions that differ from ours."""
    ours = _versions()
    return [
        f"{hello.name or hello.host} has {name} {version}, the master {ours[name]}: pickles may not be understood"
        for name, version in sorted(hello.libraries.items())
        if name in ours and ours[name] != version
    ]
