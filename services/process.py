"""Processes that outlive the command that started them, and are known again later for sure.

A pid alone may be another process by then; a pid and the moment it started may not.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_LOG_LINES = 25


@dataclass(frozen=True)
class Command:
    """What to run, as whom, and how it is asked to end."""

    arguments: Sequence[str | Path]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to ours."""
    account: str | None = None
    """Another user to run as; only root can."""
    stop: signal.Signals = signal.SIGTERM
    niceness: int = 0
    """Added to ours: how far it stands back behind others."""


@dataclass(frozen=True)
class Process:
    """A process as it is written down: `started` tells it from a later one with the same pid."""

    pid: int
    started: str
    stop: int

    def lives(self) -> bool:
        """Whether this very process still runs."""
        return self.started == started(self.pid)

    def end(self, grace: float) -> None:
        """Ask it to stop; kill it, and what is left of its session, after `grace` seconds."""
        if not self.lives():
            return
        os.kill(self.pid, self.stop)
        if not self._ends_within(grace) and self.lives():
            os.killpg(self.pid, signal.SIGKILL)
            self._ends_within(grace)

    def _ends_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.lives():
            _reap(self.pid)
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True


def start(command: Command, folder: Path, log: Path) -> Process:
    """Start it in `folder`, in a session of its own, with its output added to `log`."""
    identity = account_ids(command.account)
    with log.open("ab") as output:
        popen = subprocess.Popen(
            ["nice", "-n", str(command.niceness), *map(str, command.arguments)],
            cwd=folder,
            env={**os.environ, **command.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=identity[0] if identity else None,
            group=identity[1] if identity else None,
            extra_groups=[] if identity else None,
        )
    moment = started(popen.pid)
    # It is not ours to wait for: whoever stops it may be another command.
    popen.returncode = 0
    return Process(popen.pid, moment or "ended at once", command.stop)


def account_ids(account: str | None) -> tuple[int, int] | None:
    """User and group of an account."""
    if account is None:
        return None
    entry = pwd.getpwnam(account)
    return entry.pw_uid, entry.pw_gid


def started(pid: int) -> str | None:
    """When a process started, as its kernel tells; None if there is none (a zombie is none)."""
    stat = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self/stat").exists():
        return _started_by_ps(pid)
    try:
        # The name, in brackets, may hold anything; after it: state, and as 20th the start in ticks.
        fields = stat.read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return None if fields[0] in ("Z", "X") else f"{boot} {fields[19]}"


def _started_by_ps(pid: int) -> str | None:
    """The same where there is no /proc: to the second."""
    shown = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, moment = shown.stdout.strip().partition(" ")
    return None if shown.returncode or state.startswith("Z") else moment.strip()


def _reap(pid: int) -> None:
    """Let the kernel forget it, if it is a child of ours."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def log_tail(log: Path) -> str:
    """The last lines of a log, for an error's message."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join(f"    {line}" for line in lines[-_LOG_LINES:]) or "    (nothing logged)"
