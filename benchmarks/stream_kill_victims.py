"""Who is killed, and how each comes back: servers of a folder of their own, and `alcyon run`."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import msgspec
from confluent_kafka import OFFSET_END, Consumer, Message, TopicPartition

from services import Folder, Options

DETECTOR = Path(__file__).with_name("stream_kill_detector.py")
WORKER, PROJECTIONS = "worker", "projections"
SERVERS = ("kafka", "postgres", "redis")
_OPTIONS = Options(throughput=True)


class Programs:
    """`alcyon run` twice: only the worker, only the projections; started again when they end."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        kept = {k: v for k, v in os.environ.items() if not k.startswith("ALCYON_")}
        self._environment = {**kept, **environment}
        self._command = [sys.executable, "-m", "alcyon.cli", "run", "--catalog", str(DETECTOR)]
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, part: str) -> subprocess.Popen[bytes]:
        """One more of it; the one before is not waited for."""
        with (self.folder / f"{part}.log").open("ab") as log:
            self.running[part] = subprocess.Popen(
                [*self._command, "--only", part],
                env=self._environment, stderr=log, stdout=log, process_group=0,
            )  # fmt: skip
        return self.running[part]

    def kill(self, part: str) -> None:
        """kill -9; it is gone afterwards."""
        self.running[part].kill()
        self.running[part].wait()

    def ended(self) -> list[str]:
        """What ended by itself, which nothing here should make it do."""
        return [part for part, process in self.running.items() if process.poll() is not None]

    def stop(self) -> dict[str, int]:
        """Ask both to end; their exit codes."""
        for process in self.running.values():
            process.terminate()
        codes = {}
        for part, process in self.running.items():
            try:
                codes[part] = process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                codes[part] = process.wait()
        return codes

    def end(self) -> None:
        """Whatever still runs is killed."""
        for process in self.running.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            process.wait()


class Servers:
    """Kafka, Postgres and Redis in a folder of their own, killed and started on the same data."""

    def __init__(self, folder: Path) -> None:
        self._folder = Folder(folder)
        self._facts = self._folder.up(SERVERS, _OPTIONS)

    def environment(self) -> dict[str, str]:
        """Where they are, as settings; and for others, KAFKA_BOOTSTRAP and the like."""
        lines = (self._folder.path / "env").read_text().splitlines()
        return {name: value.strip("'") for name, _, value in (x.partition("=") for x in lines)}

    def pids(self, name: str) -> list[int]:
        """The server's processes, the first one that was started last."""
        (status,) = [s for s in self._folder.status() if s.name == name]
        if status.process is None:
            return []
        return [*_children(status.process.pid), status.process.pid]

    def signal(self, name: str, number: signal.Signals) -> None:
        """To all its processes, the main one first and last: it may start others meanwhile."""
        pids = self.pids(name)
        for pid in [pids[-1], *_children(pids[-1]), pids[-1]]:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self, name: str) -> None:
        """kill -9 of all its processes; they are gone afterwards."""
        pids = self.pids(name)
        self.signal(name, signal.SIGKILL)
        with suppress(ChildProcessError):  # only then all its threads are gone, and its ports free
            os.waitpid(pids[-1], 0)
        deadline = time.monotonic() + 10
        while any(map(_lives, pids)) and time.monotonic() < deadline:
            time.sleep(0.01)

    def restart(self, name: str) -> None:
        """Start what was killed, where it was."""
        now = self._folder.up([name], _OPTIONS)[name]
        if now != self._facts[name]:
            raise RuntimeError(f"{name} came back elsewhere: its port was taken meanwhile")

    def down(self) -> None:
        """Stop them, and remove their data."""
        self._folder.down()


def _children(pid: int) -> list[int]:
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return [int(line) for line in found.stdout.split()]


def _lives(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] not in "ZX"


class _Seen(msgspec.Struct):
    sequence: int
    event_time: int


class Watch:
    """An outsider that reads decisions as they are committed."""

    def __init__(self, bootstrap: str) -> None:
        self._consumer = consumer(bootstrap, "read_committed")
        self._consumer.assign([TopicPartition("decisions", 0, 0)])
        self._decode = msgspec.json.Decoder(_Seen).decode
        self.decisions, self.sequence, self.event_time = 0, -1, 0
        self.backwards: list[tuple[int, int]] = []
        self._created: list[tuple[int, float]] = []
        self._is_over = False
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def first_after(self, moment_ms: int, timeout_s: float) -> float | None:
        """When (UTC s) a decision arrived that was made after `moment_ms`."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for created, arrived in list(self._created):
                if created > moment_ms:
                    return arrived
            time.sleep(0.01)
        return None

    def close(self) -> None:
        """Called once, last."""
        self._is_over = True
        self._thread.join()
        self._consumer.close()

    def _run(self) -> None:
        while not self._is_over:
            found = self._consumer.consume(2000, 0.05)
            messages = [m for m in found if m.error() is None]
            if messages:
                self._note(messages)

    def _note(self, messages: list[Message]) -> None:
        self.decisions += len(messages)
        step = max(1, len(messages) // 20)
        for message in [*messages[::step], messages[-1]]:
            seen = self._decode(message.value() or b"")
            if seen.sequence < self.sequence:
                self.backwards.append((self.sequence, seen.sequence))
            self.sequence = seen.sequence
            self.event_time = max(self.event_time, seen.event_time)
        self._created = [*self._created[-2000:], (messages[-1].timestamp()[1], time.time())]


def consumer(bootstrap: str, isolation: str) -> Consumer:
    """A reader that shares nothing with the product but the client library."""
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"outside-{random.randrange(10**9)}",
            "enable.auto.commit": False,
            "isolation.level": isolation,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 20,
            "reconnect.backoff.max.ms": 500,
            "log_level": 0,
        }
    )


class Aim:
    """Waits for a moment in which a kill hurts most."""

    def __init__(self, bootstrap: str, snapshots: Path, rng: random.Random) -> None:
        self._snapshots, self._rng = snapshots, rng
        self._bootstrap = bootstrap

    def at(self, what: str) -> str:
        """Returns when the moment has come; which it was."""
        if what == "snapshot":
            return self._snapshot()
        if what == "commit":
            return self._commit()
        time.sleep(self._rng.random())
        return "anywhere"

    def _snapshot(self) -> str:
        deadline = time.monotonic() + 30
        before = set(self.unfinished())
        while time.monotonic() < deadline:
            new = set(self.unfinished()) - before
            if new:
                time.sleep(self._rng.random() * 0.05)
                if set(self.unfinished()) & new:
                    return "inside a snapshot"
                before |= new
            time.sleep(0.001)
        return "no snapshot came"

    def unfinished(self) -> Iterator[Path]:
        return self._snapshots.glob("*.unfinished")

    def _commit(self) -> str:
        """The first word of a transaction that is open: at once, or after some of its length."""
        reader = consumer(self._bootstrap, "read_uncommitted")
        try:
            reader.assign([TopicPartition("decisions", 0, OFFSET_END)])
            _first(reader, 10)
            deadline = time.monotonic() + 5
            while _first(reader, 0.004) and time.monotonic() < deadline:
                pass  # a pause: what comes next is the beginning of another commit
            came = _first(reader, 10)
            time.sleep(self._rng.choice((0, 0, 0.002)))
            return "inside a commit" if came else "no commit came"
        finally:
            Thread(target=reader.close, daemon=True).start()


def _first(reader: Consumer, timeout_s: float) -> bool:
    message = reader.poll(timeout_s)
    return message is not None and message.error() is None


@contextmanager
def paused(stop: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Stopped meanwhile, as by a long pause of the machine."""
    stop(signal.SIGSTOP)
    try:
        yield
    finally:
        stop(signal.SIGCONT)
