"""A slot in a clean interpreter, for the tests of pickling, and the client's end of it.

The client's script imports `CleanSlot`, which starts this file as a program: it has manyhands on its path, but
neither the script nor its modules, and knows nothing but the bytes it is sent.
"""

from __future__ import annotations

import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any, BinaryIO

SOURCES = Path(__file__).parents[3] / "src"


def send(stream: BinaryIO, message: Any) -> None:
    data = pickle.dumps(message)
    stream.write(struct.pack("<I", len(data)) + data)
    stream.flush()


def receive(stream: BinaryIO) -> Any:
    (length,) = struct.unpack("<I", stream.read(4))
    return pickle.loads(stream.read(length))


class CleanSlot:
    """Runs functions in another process, with definitions and items as only connection."""

    def __init__(self, registry: Any = None) -> None:
        from manyhands.wire.definitions import LoadedDefinitions
        from manyhands.wire.pickling import Encoder
        from manyhands.wire.registry import DefinitionRegistry

        self.registry = DefinitionRegistry() if registry is None else registry
        self.encoder = Encoder(self.registry)
        self.loaded = LoadedDefinitions("the client", origin=self.registry)
        self.loaded.use()
        self.sent_blobs: list[bytes] = []
        self.process = subprocess.Popen(
            [sys.executable, "-P", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
            env={**os.environ, "PYTHONPATH": str(SOURCES)},
        )

    def map(self, function: Any, items: Any, *, send_first: bool = True) -> list[Any]:
        """function(item) for each item. send_first: send all definitions needed, instead of waiting for questions."""
        from manyhands.wire.exception_codec import decode_exception
        from manyhands.wire.pickling import Feed

        hash = self.registry.define(function)
        encoded = self.encoder.encode_items(Feed(items), 1 << 30, 1 << 30, function=hash)
        needed = self.registry.needed(hash) | encoded.definitions
        blobs = {each: self.registry.blob(each) for each in needed} if send_first else {}
        send(self.process.stdin, (hash, encoded.ends.tolist(), encoded.payload, blobs))
        while True:
            kind, content = receive(self.process.stdout)
            if kind == "unknown":
                assert not send_first, f"{content!r} was not among the definitions needed"
                self.sent_blobs.append(content)
                send(self.process.stdin, self.registry.blob(content))
                continue
            if kind == "broken":
                raise RuntimeError(content)
            results = []
            for is_good, data in content:
                if not is_good:
                    raise decode_exception(data, self.loaded)
                results.append(self.loaded.loads(data))
            return results

    def call(self, function: Any, item: Any = None) -> Any:
        return self.map(function, [item])[0]

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


def serve() -> None:
    """What a slot does, without the rest of the worker."""
    from manyhands.wire.definitions import LoadedDefinitions, UnknownDefinition
    from manyhands.wire.exception_codec import encode_exception
    from manyhands.wire.pickling import Encoder, split

    loaded = LoadedDefinitions("worker 'clean'")
    loaded.use()
    encoder = Encoder(loaded)
    stdin, stdout = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def resolve(load: Any, argument: Any) -> Any:
        while True:
            try:
                return load(argument)
            except UnknownDefinition as unknown:
                send(stdout, ("unknown", unknown.hash))
                loaded.add_blob(unknown.hash, receive(stdin))

    while True:
        try:
            hash, ends, payload, blobs = receive(stdin)
        except struct.error:
            return
        for each, blob in blobs.items():
            loaded.add_blob(each, blob)
        results = []
        try:
            for data in split(payload, ends):
                try:
                    function = resolve(loaded.load, hash)
                    result = function(resolve(loaded.loads, data))
                    results.append((True, encoder.encode_result(result)[0]))
                except Exception as error:
                    results.append((False, encode_exception(error, encoder, loaded)[0]))
        except BaseException as error:
            send(stdout, ("broken", repr(error)))
        else:
            send(stdout, ("results", results))


if __name__ == "__main__":
    serve()
