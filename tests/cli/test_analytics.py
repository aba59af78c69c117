"""`alcyon analytics`: started as a user would, asked over HTTP, ended by Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from httpx2 import Client, ConnectError

from tests.cli.running import refused

UP_S_MAX = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_app_is_served_on_loopback_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    port = free_port()
    env = {**os.environ, "ALCYON_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "alcyon.cli", "analytics", "--port", str(port), "--no-browser"]
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as app:
        try:
            assert health(port, app) == "ok"
            with Client() as client:
                page = client.get(f"http://127.0.0.1:{port}/")
            assert "Streamlit" in page.text
            assert listening(app.pid) == [f"127.0.0.1:{port}"]
        finally:
            app.send_signal(signal.SIGINT)
        said, _ = app.communicate(timeout=30)
    assert app.returncode in (0, 130)
    assert b"Traceback" not in said


def health(port: int, app: subprocess.Popen[bytes]) -> str:
    latest = time.monotonic() + UP_S_MAX
    with Client() as client:
        while time.monotonic() < latest and app.poll() is None:
            try:
                return str(client.get(f"http://127.0.0.1:{port}/_stcore/health").text)
            except ConnectError:
                time.sleep(0.2)
    pytest.fail("the app did not come up")


def listening(pid: int) -> list[str]:
    """The process's listening IPv4 sockets, as address:port."""
    mine = {str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink()}
    found = []
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and f"socket:[{fields[9]}]" in mine:
            address, port = fields[1].split(":")
            octets = [str(int(address[i : i + 2], 16)) for i in (6, 4, 2, 0)]
            found.append(f"{'.'.join(octets)}:{int(port, 16)}")
    return found


def test_a_taken_port_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        said = refused(capsys, "analytics", "--port", taken.getsockname()[1], "--no-browser")
    assert "give another" in said
