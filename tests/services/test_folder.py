"""`up` and `down`: what they start, leave alone, keep and say."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from redis import Redis as RedisClient

from services import Folder, Redis, ServiceError
from services.process import Process, started
from services.server import free_ports
from services.versions import COMPOSE
from tests.servers import cannot

ONLY = ["redis"]


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[str], Folder]]:
    """Folders with Redis, the quickest to start, by name."""
    made: list[Folder] = []

    def start(name: str) -> Folder:
        made.append(Folder(tmp_path / name))
        try:
            made[-1].up(ONLY)
        except ServiceError as error:
            cannot(request.config, f"no redis for tests: {error}")
        return made[-1]

    yield start
    for one in made:
        one.down()


def facts(folder: Folder) -> Redis:
    found = folder.up(ONLY)["redis"]
    assert isinstance(found, Redis)
    return found


def process(folder: Folder) -> Process | None:
    return next(status.process for status in folder.status() if status.name == "redis")


def test_a_second_up_leaves_what_runs(folder: Callable[[str], Folder]) -> None:
    one = folder("one")
    before, facts_before = process(one), facts(one)
    assert facts(Folder(one.path)) == facts_before
    assert process(one) == before


def test_down_stops_its_own_and_no_other(folder: Callable[[str], Folder]) -> None:
    one, two = folder("one"), folder("two")
    ended = process(one)
    assert one.down() == ["redis"]
    assert ended is not None
    assert not ended.lives()
    assert RedisClient.from_url(facts(two).url).ping()
    assert one.down() == []


def test_down_leaves_a_later_process_with_the_same_pid(folder: Callable[[str], Folder]) -> None:
    one = folder("one")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        server = one.path / "redis" / "server.json"
        written = server.read_text()
        # Ours has ended, and its pid is another's by now.
        server.write_text(re.sub(r'"pid": \d+', f'"pid": {other.pid}', written))
        assert one.down(keep=True) == []
        assert other.poll() is None
        server.write_text(written)
        other.terminate()


def test_down_removes_all_that_up_made(folder: Callable[[str], Folder]) -> None:
    one = folder("one")
    one.down()
    assert not one.path.exists()


def test_down_removes_nothing_else(folder: Callable[[str], Folder]) -> None:
    one = folder("one")
    (one.path / "thesis.txt").touch()
    one.down()
    assert [path.name for path in one.path.iterdir()] == ["thesis.txt"]


def test_keep_keeps_data_and_password(folder: Callable[[str], Folder]) -> None:
    one = folder("one")
    before = facts(one)
    RedisClient.from_url(before.url).set("key", "value")
    one.down(keep=True)
    after = facts(one)
    assert after.password == before.password
    assert RedisClient.from_url(after.url).get("key") == b"value"


def test_one_that_does_not_start_shows_the_end_of_its_log(
    folder: Callable[[str], Folder],
) -> None:
    one = folder("one")
    one.down(keep=True)
    (one.path / "redis" / "data").mkdir(exist_ok=True)
    (one.path / "redis" / "data" / "dump.rdb").write_text("not a dump")
    with pytest.raises(ServiceError, match=r"(?s)redis ended at once.*[Ww]rong signature"):
        one.up(ONLY)
    assert process(one) is None


def test_a_process_that_ignores_its_signal_is_killed(tmp_path: Path) -> None:
    script = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True)"
    command = [sys.executable, "-c", f"{script}; time.sleep(60)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as stubborn:
        assert stubborn.stdout is not None
        stubborn.stdout.readline()
        known = Process(stubborn.pid, started(stubborn.pid) or "", stop=15)
        assert known.lives()
        known.end(grace=0.1)
        assert not known.lives()


def test_the_settings_take_what_env_says(folder: Callable[[str], Folder]) -> None:
    one = folder("one")
    asked = (
        "from alcyon.settings import load_settings; s = load_settings(); "
        "print(s.redis.url.get_secret_value()); print(s.home)"
    )
    sourced = f'set -a; . "$1"; exec "{sys.executable}" -c "{asked}"'
    shell = ["bash", "-c", sourced, "bash", str(one.path / "env")]
    shown = subprocess.run(shell, capture_output=True, text=True, check=True).stdout
    assert shown.split() == [facts(one).url, str(one.path / "home")]


def test_secrets_are_for_their_owner_only(folder: Callable[[str], Folder]) -> None:
    one = folder("one")
    password = facts(one).password
    holding = [p for p in one.path.rglob("*") if p.is_file() and password in p.read_text("latin-1")]
    assert {path.name for path in holding} == {"env", "server.json", "redis.conf"}
    assert {path.stat().st_mode & 0o077 for path in holding} == {0}


def test_server_json_holds_process_and_facts(folder: Callable[[str], Folder]) -> None:
    one = folder("one")
    written = json.loads((one.path / "redis" / "server.json").read_text())
    assert written["facts"] == asdict(facts(one))
    assert written["process"]["pid"] > 1


def test_ports_are_different_and_those_wanted() -> None:
    first = free_ports(range(18_000, 18_100), None, None, None)
    assert len(set(first)) == 3
    assert free_ports(range(18_000, 18_100), *first) == first
    assert len(set(free_ports(range(18_000, 18_100), first[0], first[0]))) == 2


def test_every_image_has_a_version_that_stays() -> None:
    images = re.findall(r"image: (\S+)", COMPOSE.read_text())
    others = [image for image in images if not image.startswith("alcyon")]  # ours are built
    assert len(others) == 8
    assert all(re.search(r":v?\d+(\.\d+)+$", image) for image in others)


def test_every_port_of_compose_is_on_loopback_only() -> None:
    ports = re.findall(r'^ +- "(\S+:\d+)"$', COMPOSE.read_text(), re.MULTILINE)
    assert len(ports) == 11
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_command_says_which_names_it_knows(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "services", "up", "--only", "kafka,mongo"]
    refused = subprocess.run(
        [*command, "--folder", str(tmp_path)],
        cwd=COMPOSE.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2
    assert "'mongo' is none of kafka, postgres, redis, registry" in refused.stderr


def test_status_and_down_of_a_folder_where_nothing_ran(tmp_path: Path) -> None:
    folder = tmp_path / "none"
    command = [sys.executable, "-m", "services"]
    at = ["--folder", str(folder)]
    root = COMPOSE.parent
    assert subprocess.run([*command, "status", *at], cwd=root, check=False).returncode == 1
    assert subprocess.run([*command, "down", *at], cwd=root, check=False).returncode == 0
    assert not folder.exists()
