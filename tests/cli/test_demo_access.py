"""The demo's API is open to the home's own keys, and its cases are the demo's alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from alcyon.cli.opening.offices import FILES, demo_log, office
from alcyon.cli.showing.options import settings
from tests.cli.running import run
from tests.runners.demoing import copied

DEADLINE_S = 120.0


def key_of(capsys: pytest.CaptureFixture[str], role: str) -> dict[str, str]:
    capsys.readouterr()
    assert run("keys", "create", "--role", role) == 0
    return {"X-API-Key": capsys.readouterr().out.strip()}


def address_of(demo: subprocess.Popen[str]) -> str:
    assert demo.stderr is not None
    for line in demo.stderr:
        if "The console is at " in line:
            return line.split("The console is at ")[1].split(",")[0]
    raise AssertionError("it ended without saying where it is")


def test_keys_made_before_and_meanwhile_are_known_to_the_demo(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = copied(home)
    before = key_of(capsys, "viewer")
    command = [sys.executable, "-m", "alcyon.cli", "demo", "--no-browser", "--port", "0"]
    demo = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    try:
        with httpx2.Client(base_url=address_of(demo), timeout=30.0) as client:
            assert client.get("/v1/cases").status_code == 401
            for key in (before, key_of(capsys, "viewer")):
                assert client.get("/v1/cases", headers=key).status_code == 200
            assert client.get("/v1/session").json()["name"] == "analyst"
        with closing(office(settings(), demo_log(place))) as kept:
            deadline = time.monotonic() + DEADLINE_S
            while not kept.next_index() and time.monotonic() < deadline:
                time.sleep(0.2)
            assert kept.next_index()
        with closing(office(settings(), FILES)) as homes:
            assert homes.next_index() is None
    finally:
        demo.send_signal(signal.SIGINT)
        demo.wait(60)
    assert run("audit", "verify") == 0
    assert "decisions log against its seals" in capsys.readouterr().err
