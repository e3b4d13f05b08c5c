"""Own certificates in place of tokens: whom an authority has signed comes in, in the role that is written there."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.certificates import Authority
from tests.support.command_line import free_port, run_cli
from tests.support.daemons import Daemon

from manyhands import Client
from manyhands.errors import AccessDenied, MasterUnreachable
from manyhands.wire.pinning import Identity


class Files:
    """PEM files of one authority."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        folder.mkdir()
        self.folder, self.authority = folder, authority
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(authority.pem)

    def issue(self, name: str, unit: str = "") -> tuple[Path, Path]:
        """Certificate and key."""
        return self.write(name, self.authority.issue(name, unit))

    def write(self, name: str, identity: Identity) -> tuple[Path, Path]:
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}-key.pem"
        certificate.write_bytes(identity.certificate_pem)
        key.write_bytes(identity.key_pem)
        return certificate, key

    def options(self, name: str, unit: str = "") -> list[str]:
        """For a command."""
        certificate, key = self.issue(name, unit)
        return ["--tls-cert", str(certificate), "--tls-key", str(key), "--tls-ca", str(self.ca)]

    def arguments(self, name: str, unit: str = "") -> dict[str, Path]:
        """For a client."""
        certificate, key = self.issue(name, unit)
        return {"tls_cert": certificate, "tls_key": key, "tls_ca": self.ca}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "ours", Authority())


def test_certificates_tell_who_may_do_what(files: Files, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    master = ["master", "--port", address.rpartition(":")[2], "--data-dir", str(tmp_path / "data")]
    with (
        Daemon(*master, *files.options("the-master")) as serving,
        Daemon("worker", address, "--slots", "1", *files.options("w1", "worker")) as worker,
    ):
        serving.wait_for("who joins it needs: +--tls-cert, --tls-key, --tls-ca")
        worker.wait_for("joined the master")
        assert not (tmp_path / "data" / "access").exists()
        with Client(address, **files.arguments("anna", "client")) as client:
            assert client.submit(pow, 2, 10).result(timeout=30) == 1024
            assert client.map(abs, [-1, -2], detach=True, name="mine").wait(30)
        code, output = run_cli("status", address, *files.options("looker", "read-only"))
        assert (code, "1 worker" in output) == (0, True), output
        for name, unit, sentence in (
            ("w2", "worker", "has the role worker, which does not allow to submit work"),
            ("nobody", "", "names no role: its organizational unit"),
        ):
            with pytest.raises(AccessDenied, match=sentence):
                Client(address, **files.arguments(name, unit))
        others = Files(tmp_path / "theirs", Authority())
        with pytest.raises(MasterUnreachable, match=r"(?i)certificate|handshake|closed|reset"):
            Client(address, **others.arguments("anna", "client"), connect_timeout=2.0)
        with pytest.raises(AccessDenied):  # it comes without any certificate
            Client(address, connect_timeout=2.0)


def test_what_is_wrong_with_certificates_is_said_at_once(files: Files) -> None:
    certificate, _ = files.issue("the-master")
    _, other_key = files.issue("other")
    code, output = run_cli("master", "--port", "0", "--tls-cert", str(certificate))
    assert code == 1
    assert output == (
        "manyhands: own certificates need all three: a certificate, its key, and who signs those of the other side\n"
    )
    options = ["--tls-cert", str(certificate), "--tls-key", str(other_key), "--tls-ca", str(files.ca)]
    code, output = run_cli("master", "--port", "0", *options)
    assert code == 1
    assert output.startswith("manyhands: the key is not that of the certificate (CN=the-master)")
    code, output = run_cli("worker", "127.0.0.1:1", *options[:-1], str(files.folder / "missing.pem"))
    assert code == 1
    assert "missing.pem" in output
    code, output = run_cli("worker", "127.0.0.1:1", *files.options("w", "worker"), "--token", "mh1.x.y")
    assert code == 1
    assert "give only one of these: a token, a token file, own certificates" in output
