"""`manyhands status`: a master's workers and jobs, for people and for programs."""

from __future__ import annotations

import asyncio
from typing import Any

from google.protobuf.json_format import MessageToDict

from manyhands.notices import counted
from manyhands.protos import manyhands_pb2 as pb
from manyhands.wire.errors import AccessDenied, MasterUnreachable
from manyhands.wire.eventloop import loop_factory
from manyhands.wire.grpc_core import grpc, pb_grpc
from manyhands.wire.grpc_links import open_channel, reason_of
from manyhands.wire.joining import Keys, Way
from manyhands.wire.links import LinkLost

_TIMEOUT = 5.0


def fetch_status(address: str, keys: Keys = Keys()) -> dict[str, Any]:  # noqa: B008 - frozen
    """The master's status as plain values. Raises MasterUnreachable, AccessDenied."""
    way = Way(address, "read-only", keys)
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            trust = runner.run(way.find_trust())
    except LinkLost as lost:
        raise MasterUnreachable(address, str(lost)) from None
    with open_channel(address, trust) as channel:
        stub = pb_grpc.MasterStub(channel)
        try:
            reply = stub.GetStatus(pb.StatusRequest(secret=way.credential.secret), timeout=_TIMEOUT)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                raise AccessDenied(reason_of(error), address) from None
            raise MasterUnreachable(address, reason_of(error)) from None
    status = MessageToDict(reply, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    numbered: dict[str, Any] = _with_numbers(status)
    return numbered


def _with_numbers(value: Any) -> Any:
    """JSON's mapping writes 64-bit integers as text; programs want numbers."""
    if isinstance(value, dict):
        return {
            key: int(item) if isinstance(item, str) and key in _INTEGERS else _with_numbers(item)
            for key, item in value.items()
        }
    return [_with_numbers(item) for item in value] if isinstance(value, list) else value


_INTEGERS = {
    field.name
    for message in (pb.WorkerStatus, pb.JobStatus)
    for field in message.DESCRIPTOR.fields
    if field.cpp_type in (field.CPPTYPE_UINT64, field.CPPTYPE_INT64)
}


def print_status(address: str, status: dict[str, Any]) -> None:
    """A table for people."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    workers, jobs = status["workers"], status["jobs"]
    console.print(
        f"[bold]{address}[/] manyhands {status['package_version']}, up {status['uptime']:.0f} s, "
        f"{counted(len(workers), 'worker')}, {counted(sum(worker['slots'] for worker in workers), 'slot')}, "
        f"{counted(status['clients'], 'client')}"
    )
    if workers:
        table = Table("worker", "host", "slots", "running or sent", "completed", "silent for", box=None)
        for worker in workers:
            name = worker["name"] + (" (draining)" if worker["draining"] else "")
            table.add_row(
                name, worker["host"], str(worker["slots"]), str(worker["outstanding"]),
                str(worker["completed"]), f"{worker['silent']:.1f} s",
            )  # fmt: skip
        console.print(table)
    else:
        console.print(f"no worker: start one with [bold]manyhands worker {address}[/]")
    if jobs:
        table = Table("job", "client", "priority", "done", "queued", "running or sent", "failed", box=None)
        for job in jobs:
            done = job["succeeded"] + job["failed"] + job["cancelled"]
            total = f"{job['total']}" + ("" if job["sealed"] else "+")
            table.add_row(
                job["name"] or f"#{job['job']}", job["client"], str(job["priority"]), f"{done} of {total}",
                str(job["queued"]), str(job["outstanding"]), str(job["failed"]),
            )  # fmt: skip
        console.print(table)
