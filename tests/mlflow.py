"""An MLflow server, from an environment of its own: what it needs does not go with ours.

Only where MLflow is installed beside the tests (`make test-mlflow`).
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PYTHON = Path(__file__).resolve().parent.parent / ".tools" / "mlflow" / "bin" / "python"
START_S = 180.0


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with nothing in it. Other tests use it too: name models apart."""
    if not PYTHON.exists():
        pytest.fail("no MLflow server for tests: make test-mlflow installs one", pytrace=False)
    with serving(tmp_path_factory.mktemp("mlflow"), free_port()) as uri:
        yield uri


@contextmanager
def serving(folder: Path, port: int) -> Iterator[str]:
    """The address of a server whose data are in `folder`."""
    command = [
        str(PYTHON), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
        "--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/server.db",
        "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    sparing = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            command, env={**os.environ, **sparing}, stdout=log, stderr=log, start_new_session=True
        )
        try:
            _wait(process, f"http://127.0.0.1:{port}", folder / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


def free_port() -> int:
    """One that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port: int = held.getsockname()[1]
        return port


def _wait(process: subprocess.Popen[bytes], uri: str, log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with opener.open(f"{uri}/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    pytest.fail(f"the MLflow server did not start: {log.read_text()[-2000:]}", pytrace=False)
