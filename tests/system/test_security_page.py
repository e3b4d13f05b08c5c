"""SECURITY.md's commands, run as they stand, but for addresses and where things are kept."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.command_line import free_port, run_cli
from tests.support.daemons import Daemon, start_master

PAGE = (Path(__file__).parents[2] / "SECURITY.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_commands_for_tokens(tmp_path: Path) -> None:
    with start_master("--data-dir", str(tmp_path))[0]:
        commands = [shlex.split(line, comments=True) for line in BLOCKS[0].splitlines()]
        assert [command[:3] for command in commands] == [
            ["manyhands", "token", what] for what in ("show", "create", "rotate", "revoke")
        ]
        for _, *arguments in commands:
            code, printed = run_cli(*arguments, "--data-dir", tmp_path)
            assert code == 0, printed
            assert "anna" in printed or "show" in arguments


@pytest.mark.skipif(not shutil.which("openssl"), reason="the page's certificates are made with openssl")
def test_the_commands_for_own_certificates(tmp_path: Path) -> None:
    port = free_port()
    issuing, joining = (
        BLOCKS[1].replace("192.0.2.7:7077", f"127.0.0.1:{port}").replace("192.0.2.7", "127.0.0.1").split("\n\n")
    )
    made = subprocess.run(
        ["bash", "-euc", issuing], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
    )
    assert made.returncode == 0, made.stderr
    master, worker, client = re.split(r"^(?=manyhands worker|python)", joining, flags=re.MULTILINE)
    with (
        start(tmp_path, f"{master} --port {port} --no-journal") as serving,
        start(tmp_path, worker) as working,
    ):
        serving.wait_for("serves at")
        working.wait_for("joined")
        code = shlex.split(client)[2]
        done = subprocess.run(
            [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
        )
        assert done.stdout == "1024\n", done.stderr
        # Whoever has no certificate of that authority, or one for another role, is not let in.
        assert run_cli("status", f"127.0.0.1:{port}")[0] != 0
        swapped = shlex.split(client.replace("anna", "rack1"))[2]
        refused = subprocess.run(
            [sys.executable, "-P", "-c", swapped], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
        )
        assert "AccessDenied" in refused.stderr


def start(folder: Path, line: str) -> Daemon:
    """The page's command line, in that folder."""
    name, *arguments = shlex.split(line)
    assert name == "manyhands"
    in_folder = ("env", f"--chdir={folder}")
    return Daemon(*arguments, through=in_folder)
