"""A token's secret appears nowhere: not in output, `ps`, files, errors, tracebacks, nor in what tasks see."""

import asyncio
import gc
import json
import logging
import os
import pickle
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from tests.support.command_line import run_cli
from tests.support.daemons import Daemon, start_master, wait_until

import manyhands
from manyhands import AsyncClient, Client
from manyhands.errors import AccessDenied
from manyhands.wire.tokens import Token, new_secret, parse_token


class Cluster:
    """A master at its second start, and workers that were given their token in each of the three ways."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.data = folder / "data"
        # What a master leaves for its own user would be found instead of what is given.
        stack.enter_context(pytest.MonkeyPatch.context()).setenv("XDG_STATE_HOME", str(folder / "state"))
        with start_master("--data-dir", str(self.data))[0] as first:
            self.printed = first.output
        lines = re.findall(r"MANYHANDS_TOKEN=(\S+) \S+ (\S+)", self.printed)
        self.tokens = dict(zip(("worker", "client", "read-only"), (written for written, _ in lines), strict=True))
        self.mallory = re.findall(r"MANYHANDS_TOKEN=(\S+)", self.token("create", "--name", "mallory"))[0]
        self.master, self.address = start_master("--data-dir", str(self.data), "--tcp-only", "--verbose")
        stack.enter_context(self.master)
        self.token_file = folder / "token"
        self.token_file.touch(mode=0o600)
        self.token_file.write_text(self.tokens["worker"])
        self.workers = {
            way: stack.enter_context(Daemon("worker", self.address, "--verbose", "--name", way, *arguments, env=env))
            for way, arguments, env in (
                ("environment", (), {"MANYHANDS_TOKEN": self.tokens["worker"]}),
                ("file", ("--token-file", str(self.token_file)), {}),
                ("argument", ("--token", self.tokens["worker"]), {}),
            )
        }
        for worker in self.workers.values():
            worker.wait_for("joined")

    @property
    def secrets(self) -> set[str]:
        """All that there are, and were."""
        stored = json.loads((self.data / "access" / "tokens.json").read_text())["tokens"]
        written = {parse_token(written).secret for written in (self.mallory, *self.tokens.values())}
        return {entry["secret"] for entry in stored} | written

    def shown_in(self, text: object) -> list[str]:
        """The secrets that somebody finds in it."""
        data = text if isinstance(text, bytes) else str(text).encode(errors="replace")
        return [secret for secret in self.secrets if secret.encode() in data]

    def token(self, command: str, *arguments: str) -> str:
        """What `manyhands token` prints."""
        code, printed = run_cli("token", command, *arguments, "--data-dir", self.data)
        assert code == 0, printed
        return printed


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield Cluster(tmp_path_factory.mktemp("secrets"), stack)


def surroundings(_: object) -> tuple[int, dict[str, str], bytes]:
    """What a task sees without looking for it: the agent's process id, its own variables, and those it began with."""
    return os.getppid(), dict(os.environ), Path("/proc/self/environ").read_bytes()


def test_the_first_start_prints_each_once_and_later_ones_none(cluster: Cluster) -> None:
    for written in cluster.tokens.values():
        assert cluster.printed.count(parse_token(written).secret) == 1
    assert len(cluster.secrets) == 4
    assert "token show" in cluster.master.output
    assert not cluster.shown_in(cluster.master.output)


def test_daemons_say_none(cluster: Cluster) -> None:
    with Client(cluster.address, token=cluster.tokens["client"]) as client:
        assert list(client.map(abs, range(-100, 0))) == list(range(100, 0, -1))
    for daemon in (cluster.master, *cluster.workers.values()):
        assert not cluster.shown_in(daemon.output)


def test_the_command_line_shows_only_the_one_that_was_put_there_and_warns(cluster: Cluster) -> None:
    for way, worker in {"master": cluster.master, **cluster.workers}.items():
        agent = psutil.Process(worker.process.pid)
        for process in (agent, *agent.children(recursive=True)):
            shown = cluster.shown_in(" ".join(process.cmdline()))
            is_given = way == "argument" and "--token" in process.cmdline()
            assert bool(shown) == is_given, (way, process)
        assert ("`ps`" in worker.output) == (way == "argument")


def test_tasks_see_none(cluster: Cluster) -> None:
    with Client(cluster.address, token=cluster.tokens["client"]) as client:
        found: dict[int, tuple[object, ...]] = {}
        while found.keys() != {worker.process.pid for worker in cluster.workers.values()}:
            found |= {agent: seen for agent, *seen in client.map(surroundings, range(50))}
    for variables, block in found.values():
        assert "MANYHANDS_TOKEN" not in variables
        assert not cluster.shown_in(variables)
        assert not cluster.shown_in(block)


@pytest.mark.parametrize("way", ["environment", "file", "argument"])
@pytest.mark.parametrize("options", [(), ("--json",)], ids=["", "json"])
def test_status_says_none(
    way: str, options: tuple[str, ...], cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments: tuple[str, ...] = ()
    if way == "environment":
        monkeypatch.setenv("MANYHANDS_TOKEN", cluster.tokens["read-only"])
    elif way == "file":
        arguments = "--token-file", str(cluster.token_file)
    else:
        arguments = "--token", cluster.tokens["read-only"]
    code, printed = run_cli("status", cluster.address, *arguments, *options)
    assert code == 0, printed
    assert not cluster.shown_in(printed)


def revoked(cluster: Cluster) -> str:
    cluster.token("revoke", "mallory")
    return cluster.mallory


def of_another_master(cluster: Cluster) -> str:
    return Token(os.urandom(32), parse_token(cluster.tokens["client"]).secret).written()


def wrong(cluster: Cluster) -> str:
    return Token(parse_token(cluster.tokens["client"]).certificate, new_secret()).written()


def only_to_look(cluster: Cluster) -> str:
    return cluster.tokens["read-only"]


def variables_of_ours(error: BaseException | None) -> str:
    """Those of our frames, as some tools report them with a traceback; a test's own hold what they hold."""
    told = []
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if Path(frame.f_code.co_filename).is_relative_to(Path(manyhands.__file__).parent):
                where = frame.f_code.co_qualname
                told += [f"{where}: {name} = {represented(value)}" for name, value in frame.f_locals.items()]
        error = error.__cause__ or error.__context__
    return "\n".join(told)


def represented(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # of something half made
        return repr(error)


BAD: list[Callable[[Cluster], str]] = [revoked, of_another_master, wrong, only_to_look]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.__name__)
def test_errors_and_their_traces_say_none(
    bad: Callable[[Cluster], str], cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    written = bad(cluster)
    secret = parse_token(written).secret
    with caplog.at_level(logging.DEBUG), pytest.raises(AccessDenied) as caught:
        wait_until(lambda: Client(cluster.address, token=written).shutdown(), what="the token was taken")
    error = caught.value
    code, printed = run_cli("worker", cluster.address, "--token-file", file_of(cluster, written))
    assert code != 0
    told = [
        str(error),
        repr(error),
        repr(error.args),
        repr(vars(error)),
        variables_of_ours(error),
        caplog.text,
        printed,
    ]
    assert not [line for text in told for line in text.splitlines() if secret in line]
    assert secret.encode() not in pickle.dumps(error)
    assert secret not in cluster.master.output


def file_of(cluster: Cluster, written: str) -> Path:
    path = cluster.token_file.with_name("another")
    path.touch(mode=0o600)
    path.write_text(written)
    return path


@pytest.mark.parametrize(
    "text", ["mh1.{secret}", "mh1.x.{secret}", "{secret}", "mh2.{certificate}.{secret}", "{certificate}.{secret}"]
)
def test_a_token_that_is_none_is_not_repeated(text: str, cluster: Cluster) -> None:
    _, certificate, secret = cluster.tokens["client"].split(".")
    written = text.format(secret=secret, certificate=certificate)
    with pytest.raises(ValueError) as caught:
        Client(cluster.address, token=written)
    assert secret not in str(caught.value) + repr(caught.value)
    code, printed = run_cli("status", cluster.address, "--token-file", file_of(cluster, written))
    assert code != 0
    assert secret not in printed


def test_what_is_ours_in_a_clients_process_shows_none(cluster: Cluster) -> None:
    """Debuggers, notebooks and crash reports print what they find."""

    async def look() -> list[str]:
        async with AsyncClient(cluster.address, token=cluster.tokens["client"]) as asynchronous:
            assert await asynchronous.submit(abs, -1) == 1
            return shown()

    def shown() -> list[str]:
        ours = [each for each in gc.get_objects() if str(type(each).__module__).startswith("manyhands.")]
        assert {"Connection", "Dialer", "Way", "Keys"} <= {type(each).__name__ for each in ours}
        return [told for each in ours if cluster.shown_in(told := represented(each))]

    with Client(cluster.address, token=cluster.tokens["client"]) as client:
        assert client.submit(abs, -1).result() == 1
        assert shown() == []
    assert asyncio.run(look()) == []


def test_the_journal_holds_none(cluster: Cluster) -> None:
    """The last one here: it makes the cluster's tokens void."""
    with Client(cluster.address, token=cluster.tokens["client"]) as client:
        assert client.submit(abs, -1).result() == 1
        client.map(abs, range(10), detach=True, name="kept")
        dialer = client._connection._dialer
        assert dialer is not None
        before = dialer._credential.secret
        cluster.token("rotate")
        wait_until(lambda: dialer._credential.secret != before, what="a new secret, by the master")
        assert client.submit(abs, -1).result() == 1
        assert len(cluster.secrets) >= 6
        kept = [path for path in cluster.data.iterdir() if path.is_file()]
        assert {"journal.sqlite", "journal.sqlite-wal"} <= {path.name for path in kept}
        assert not [path for path in kept if cluster.shown_in(path.read_bytes())]
    assert not cluster.shown_in(cluster.master.output)
