"""Who gets in: tokens by each way in which they come, roles, rotation and revocation, with real daemons."""

from __future__ import annotations

import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.command_line import free_port, run_cli
from tests.support.daemons import Daemon

from manyhands import Client
from manyhands.errors import AccessDenied, MasterUnreachable, UnknownJob
from manyhands.wire.tokens import Token, TokenFault, parse_token

TOKEN = re.compile(r"MANYHANDS_TOKEN=(mh1\.\S+) (.*)")


class Place:
    """One master's data directory and port."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "data"
        self.port = str(free_port())
        self.address = f"127.0.0.1:{self.port}"

    @contextmanager
    def master(self, *arguments: str) -> Iterator[Daemon]:
        with Daemon(
            "master", "--tcp-only", "--port", self.port, "--data-dir", str(self.data_dir), *arguments
        ) as master:
            master.wait_for("serves at")
            yield master

    def token(self, *arguments: str) -> str:
        """What `manyhands token` prints."""
        code, output = run_cli("token", *arguments, "--data-dir", str(self.data_dir))
        assert code == 0, output
        return output

    def secret(self, name: str) -> str:
        """One token, as it is written."""
        found = re.search(rf"^{name}\b.*:\n  MANYHANDS_TOKEN=(\S+)", self.token("show"), re.MULTILINE)
        assert found is not None
        return found[1]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """From now on no access file is found; daemons need this environment for that, too."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    return {"XDG_STATE_HOME": str(tmp_path / "elsewhere")}


def test_the_first_start_prints_a_line_for_each_role_and_the_next_one_does_not(place: Place) -> None:
    with place.master() as master:
        master.wait_for("For other machines")
        lines = TOKEN.findall(master.output)
        assert [command for _, command in lines] == [
            f"manyhands worker {place.address}",
            f'python your_script.py   # with Client("{place.address}")',
            f"manyhands status {place.address}",
        ]
        assert len({token for token, _ in lines}) == 3
    with place.master() as again:
        again.wait_for("For other machines")
        assert not TOKEN.search(again.output)
        assert f"manyhands token show --data-dir {place.data_dir}" in again.output
    assert TOKEN.findall(place.token("show")) == lines
    access = place.data_dir / "access"
    assert stat.S_IMODE(access.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in access.iterdir()} == {0o600}


def test_the_masters_user_needs_no_token_on_its_machine(place: Place) -> None:
    with place.master(), Daemon("worker", place.address, "--slots", "1"), Client(place.address) as client:
        assert client.submit(pow, 2, 10).result(timeout=30) == 1024
        assert run_cli("status", place.address)[0] == 0


def test_others_need_one(place: Place, tmp_path: Path) -> None:
    with place.master():
        worker, client, looker = (place.secret(role) for role in ("worker", "client", "read-only"))
        elsewhere = {"XDG_STATE_HOME": str(tmp_path / "elsewhere")}
        with Daemon("worker", place.address, env=elsewhere) as nobody:
            assert nobody.wait() == 1
            assert "it wants a token: set MANYHANDS_TOKEN" in nobody.output
        (file := tmp_path / "token").write_text(worker + "\n")
        file.chmod(0o600)
        with (
            pytest.MonkeyPatch.context() as patch,
            Daemon("worker", place.address, "--slots", "1", env={**elsewhere, "MANYHANDS_TOKEN": worker}),
            Daemon("worker", place.address, "--slots", "1", "--token-file", str(file), env=elsewhere),
            Daemon("worker", place.address, "--slots", "1", "--token", worker, env=elsewhere) as shown,
        ):
            shown.wait_for("warning: every user of this machine can read a --token with `ps`")
            patch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
            with pytest.raises(AccessDenied, match="it wants a token: set MANYHANDS_TOKEN"):
                Client(place.address)
            with Client(place.address, token=client) as joined:
                joined.wait_for_workers(3, timeout=30)
                assert joined.submit(pow, 2, 10).result(timeout=30) == 1024
            file.write_text(client)
            with Client(place.address, token_file=file) as joined:
                assert joined.submit(pow, 2, 10).result(timeout=30) == 1024
            patch.setenv("MANYHANDS_TOKEN", looker)
            code, output = run_cli("status", place.address)
            assert (code, "3 workers" in output) == (0, True), output
            file.chmod(0o644)
            with pytest.raises(PermissionError, match="open to other users"):
                Client(place.address, token_file=file)


def test_a_token_of_another_master_stays_here(place: Place, stranger: dict[str, str]) -> None:
    with place.master() as master:
        other = Token(bytes(32), parse_token(place.secret("client")).secret).written()
        with pytest.raises(AccessDenied, match="is not the one that the token names") as denied:
            Client(place.address, token=other)
        assert place.address in str(denied.value)
        with Daemon("worker", place.address, env={**stranger, "MANYHANDS_TOKEN": other}) as worker:
            assert worker.wait() == 1
            assert "the token's secret was not sent" in worker.output
        assert "refused" not in master.output  # it has not heard a thing


def test_a_wrong_secret(place: Place, stranger: dict[str, str]) -> None:
    with place.master() as master:
        wrong = Token(parse_token(place.secret("client")).certificate, "x" * 43).written()
        with pytest.raises(AccessDenied, match="this master does not know that token"):
            Client(place.address, token=wrong)
        master.wait_for(r"refused a peer \(127\.0\.0\.1\): this master does not know that token")
        assert "x" * 43 not in master.output
        with pytest.raises(TokenFault, match="this is not a token"):
            Client(place.address, token="hunter2")
        code, output = run_cli("status", place.address, "--token", wrong)
        assert code == 1
        assert "this master does not know that token" in output


def test_roles(place: Place, stranger: dict[str, str]) -> None:
    with place.master():
        worker, client, looker = (place.secret(role) for role in ("worker", "client", "read-only"))
        for token, role in ((worker, "worker"), (looker, "read-only")):
            with pytest.raises(AccessDenied, match=f"has the role {role}, which does not allow to submit work"):
                Client(place.address, token=token)
        for token, role in ((client, "client"), (looker, "read-only")):
            with Daemon("worker", place.address, env={**stranger, "MANYHANDS_TOKEN": token}) as refused:
                assert refused.wait() == 1
                assert f"has the role {role}, which does not allow to work" in refused.output


def test_whose_results_are_whose(place: Place, stranger: dict[str, str]) -> None:
    with (
        place.master(),
        Daemon("worker", place.address, "--slots", "1", env={**stranger, "MANYHANDS_TOKEN": place.secret("worker")}),
    ):
        place.token("create", "--name", "anna")
        place.token("create", "--name", "boss", "--role", "admin")
        anna, boss = place.secret("anna"), place.secret("boss")
        with Client(place.address, token=anna) as client:
            assert client.map(abs, range(-5, 0), detach=True, name="mine").wait(30)
        with Client(place.address, token=place.secret("client")) as other:
            with pytest.raises(UnknownJob, match="there is no detached job 'mine'; no others are there either"):
                other.job("mine")
            other.map(abs, [7], detach=True, name="mine")  # in nobody's way
            assert list(other.job("mine").results()) == [7]
        with (
            Client(place.address, token=boss) as admin,
            pytest.raises(UnknownJob, match="there are several detached jobs 'mine', of 'anna', 'client'"),
        ):
            admin.job("mine")
        with Client(place.address, token=place.secret("client")) as other:
            other.job("mine").cancel()
        with Client(place.address, token=boss) as admin:
            assert list(admin.job("mine").results()) == [5, 4, 3, 2, 1]


def test_rotation_leaves_healthy_workers_alone(place: Place, stranger: dict[str, str]) -> None:
    with place.master() as master:
        worker, client = place.secret("worker"), place.secret("client")
        with (
            Daemon("worker", place.address, "--slots", "1", env={**stranger, "MANYHANDS_TOKEN": worker}) as healthy,
            Client(place.address, token=client) as joined,
        ):
            joined.wait_for_workers(1, timeout=30)
            place.token("rotate")
            assert place.secret("worker") != worker

            with pytest.raises(AccessDenied, match="or has a new secret"):
                Client(place.address, token=client)
            time.sleep(2.0)  # within which the master tells the new one
            assert joined.submit(pow, 2, 10).result(timeout=30) == 1024
            # The master starts again: who was there comes back, with the secret that it was told.
            master.kill()
            master.wait()
            with place.master():
                assert joined.submit(pow, 2, 11).result(timeout=30) == 2048
                assert healthy.process.poll() is None
                with Client(place.address, token=place.secret("client")) as new:
                    assert new.submit(pow, 2, 12).result(timeout=30) == 4096


def test_who_is_revoked_has_to_leave(place: Place, stranger: dict[str, str]) -> None:
    with (
        place.master() as master,
        Daemon("worker", place.address, env={**stranger, "MANYHANDS_TOKEN": place.secret("worker")}) as worker,
    ):
        worker.wait_for("joined the master")
        place.token("create", "--name", "anna", "--ttl", "3s")
        with Client(place.address, token=place.secret("anna")) as client:
            waiting = client.submit(pow, 2, 10)
            assert waiting.result(timeout=30) == 1024
            place.token("revoke", "worker")
            assert worker.wait() == 1
            assert "does not know that token, or no more: it was revoked" in worker.output
            with pytest.raises(AccessDenied):  # for anna's has expired meanwhile
                client.submit(pow, 2, 10).result(timeout=30)
        master.wait_for("client .* has to leave: the token 'anna' expired")
    code, output = run_cli("token", "revoke", "worker", "--data-dir", str(place.data_dir))
    assert code == 1
    assert "there is no token 'worker'; these are there: 'client', 'read-only', 'anna'" in output


def test_a_worker_works_only_for_the_master_that_it_knows(
    place: Place, stranger: dict[str, str], tmp_path: Path
) -> None:
    with place.master() as master:
        token = place.secret("worker")
        with Daemon("worker", place.address, "--slots", "1", env={**stranger, "MANYHANDS_TOKEN": token}) as worker:
            worker.wait_for("joined the master")
            master.kill()
            master.wait()
            impostor = Place(tmp_path / "impostor")
            impostor.port, impostor.address = place.port, place.address
            with (
                impostor.master("--verbose") as other,
                Client(place.address, token=impostor.secret("client")) as client,
            ):
                waiting = client.submit(pow, 2, 10)
                worker.wait_for("lost the master at .* trying until it is back")
                with pytest.raises(TimeoutError):
                    waiting.result(timeout=3)
                assert "joined from" in other.output  # the client
                assert other.output.count("joined from") == 1
                waiting.cancel()
            with place.master(), Client(place.address, token=place.secret("client")) as client:
                worker.wait_for("joined the master at .* again", timeout=30)
                assert client.submit(pow, 2, 10).result(timeout=30) == 1024


def test_a_worker_may_wait_for_its_master(place: Place, stranger: dict[str, str]) -> None:
    with place.master():
        token = place.secret("worker")
    with Daemon("worker", place.address, env={**stranger, "MANYHANDS_TOKEN": token}) as worker:
        worker.wait_for("no master answers at .* yet")
        with place.master():
            worker.wait_for("joined the master")


@pytest.mark.parametrize("command", ["master", "local"])
def test_without_access_control_only_loopback_is_served(command: str) -> None:
    code, output = run_cli(command, "--host", "0.0.0.0", "--port", "0", "--insecure")
    assert code == 1
    assert output.startswith("manyhands: --insecure is for loopback addresses only, and 0.0.0.0 is none")
    assert "--insecure-any-address" in output
    with Daemon(command, "--host", "0.0.0.0", "--port", "0", "--insecure-any-address") as anybodys:
        anybodys.wait_for("warning: everybody who reaches .* can run code as the workers' user")


def test_insecure(place: Place, stranger: dict[str, str]) -> None:
    token = Token(bytes(32), "x" * 43).written()
    with Daemon("local", "--port", place.port, "--slots", "1", "--insecure", "--tcp-only") as local:
        local.wait_for("warning: everybody on this machine can run code as the workers' user")
        with Client(place.address) as client:
            assert client.submit(pow, 2, 10).result(timeout=30) == 1024
        assert run_cli("status", place.address)[0] == 0
        with pytest.raises(AccessDenied, match=r"does not speak TLS 1\.3 .* the token's secret was not sent"):
            Client(place.address, token=token)


def test_no_address_and_a_token_do_not_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MANYHANDS_ADDRESS", raising=False)
    with pytest.raises(ValueError, match="for a master whose address is given"):
        Client(token=Token(bytes(32), "x" * 43).written())


def test_tokens_of_no_master(tmp_path: Path) -> None:
    code, output = run_cli("token", "show", "--data-dir", str(tmp_path / "none"))
    assert code == 1
    assert "a master makes them at its first start" in output


def test_nobody_there_is_still_said_so(place: Place) -> None:
    with pytest.raises(MasterUnreachable, match="Connection refused"):
        Client(place.address, token=Token(bytes(32), "x" * 43).written(), connect_timeout=1.0)
