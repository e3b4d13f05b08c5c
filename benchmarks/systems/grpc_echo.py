"""Owns the bare grpc.aio echo: a server process that returns every message of one bidirectional stream.

`python -m benchmarks.systems.grpc_echo ADDRESS` is the server; `Echo` starts it and connects to it. This is
the floor that a round trip through any grpc.aio master has to stand on, measured with nothing around it.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Coroutine
from pathlib import Path

import grpc
import grpc.aio

METHOD = "/benchmarks.Echo/Stream"


class Echo:
    """A server process of our own and a channel to it; `unix` chooses the transport."""

    def __init__(self, *, unix: bool) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="echo", dir=os.environ.get("BENCH_SCRATCH"))
        self._ready = Path(self._scratch.name) / "ready"
        self._address = f"unix:{self._scratch.name}/s" if unix else "127.0.0.1:0"

    async def __aenter__(self) -> "grpc.aio.StreamStreamCall[bytes, bytes]":
        command = [sys.executable, "-m", "benchmarks.systems.grpc_echo", self._address, str(self._ready)]
        self._server = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        async with asyncio.timeout(20):
            while not self._ready.exists():
                if self._server.poll() is not None:
                    raise RuntimeError(f"the echo server ended with exit code {self._server.returncode}")
                await asyncio.sleep(0.05)
        self._channel = grpc.aio.insecure_channel(self._ready.read_text())
        stream: grpc.aio.StreamStreamCall[bytes, bytes] = self._channel.stream_stream(METHOD)()
        return stream

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._channel.close()
        finally:
            self._server.terminate()
            self._server.wait(20)
            self._scratch.cleanup()


def run_loop(main: Coroutine[object, object, object]) -> str:
    """Runs `main` to its end on uvloop where there is one, else on asyncio; returns which it was."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
        return "asyncio"
    uvloop.run(main)
    return "uvloop"


async def _echo(_: object, context: "grpc.aio.ServicerContext[bytes, bytes]") -> None:
    while isinstance(message := await context.read(), bytes):  # not EOF
        await context.write(message)


async def _serve(address: str, ready: Path) -> None:
    server = grpc.aio.server()
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(_echo)
    service, method = METHOD.strip("/").split("/")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    port = server.add_insecure_port(address)
    await server.start()
    partial = ready.with_suffix(".partial")
    partial.write_text(address if address.startswith("unix:") else f"127.0.0.1:{port}")
    partial.rename(ready)
    await server.wait_for_termination()


if __name__ == "__main__":
    run_loop(_serve(sys.argv[1], Path(sys.argv[2])))
