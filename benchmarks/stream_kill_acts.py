"""The kills: which come, in which order, and what each does."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from stream_kill_victims import PROJECTIONS, WORKER, Aim, Programs, Servers, Watch

FENCED = 3
"""The exit code of a worker that another took over from."""
PAUSE_S = (2.0, 5.0)
BACK_S_MAX = 60.0
"""A decision that takes longer to come is not waited for: the run has failed."""


class Act(NamedTuple):
    """Whom, how and when."""

    victim: str
    how: str
    aim: str = "anywhere"


CYCLE = (
    Act(WORKER, "kill", "snapshot"),
    Act(WORKER, "pause, another takes over"),
    Act("postgres", "kill"),
    Act("kafka", "kill", "commit"),
    Act(WORKER, "kill", "commit"),
    Act(PROJECTIONS, "kill"),
    Act("redis", "kill"),
    Act(WORKER, "kill twice", "snapshot"),
    Act("kafka", "pause"),
    Act(WORKER, "kill"),
    Act(PROJECTIONS, "pause"),
    Act(WORKER, "kill", "commit"),
    Act("postgres", "pause"),
    Act(WORKER, "pause", "commit"),
    Act(WORKER, "kill", "snapshot"),
    Act("kafka", "kill"),
    Act("worker and kafka", "kill", "commit"),
    Act("redis", "pause"),
    Act(WORKER, "pause, another takes over", "snapshot"),
    Act("projections and postgres", "kill"),
)
"""Each twenty kills, in another order from the second time on."""


class Told(msgspec.Struct):
    """A line of the ledger."""

    number: int
    at_s: float
    """Since the first record."""
    victim: str
    how: str
    when: str
    """What it met."""
    back_s: float | None
    """From the kill to the first decision made after it that an outsider could read."""
    note: str = ""


def deck(kills: int, rng: random.Random) -> list[Act]:
    """As many acts."""
    acts: list[Act] = []
    while len(acts) < kills:
        cycle = list(CYCLE)
        if acts:
            rng.shuffle(cycle)
        acts += cycle
    return acts[:kills]


@dataclass
class Stage:
    """Everything an act needs."""

    programs: Programs
    servers: Servers
    watch: Watch
    aim: Aim
    rng: random.Random
    violations: list[str]
    _hit: float = 0.0
    """When (UTC s) the last one was dead, or stopped: what is made later is made after it."""

    def play(self, act: Act) -> tuple[str, float | None, str]:
        """(what it met, seconds until decisions came again, a note)."""
        when = self.aim.at(act.aim)
        moment = self._hit = time.time()
        note = self._pause(act) if act.how.startswith("pause") else self._kill(act)
        arrived = self.watch.first_after(int(self._hit * 1000) + 1, BACK_S_MAX)
        if arrived is None:
            self.violations.append(f"no decision within {BACK_S_MAX:.0f} s after {act}")
        return when, None if arrived is None else round(arrived - moment, 3), note

    def _kill(self, act: Act) -> str:
        victims = act.victim.split(" and ")
        for victim in victims:
            if victim in self.programs.running:
                self.programs.kill(victim)
            else:
                self.servers.kill(victim)
        self._hit = time.time()
        note = f"{len(list(self.aim.unfinished()))} unfinished" if act.aim == "snapshot" else ""
        for victim in victims:
            if victim in self.programs.running:
                self.programs.start(victim)
        if act.how == "kill twice":
            time.sleep(self.rng.uniform(0.3, 3.0))
            self.programs.kill(WORKER)
            self._hit = time.time()
            self.programs.start(WORKER)
        for victim in victims:
            if victim not in self.programs.running:
                began = time.monotonic()
                self.servers.restart(victim)
                note += f"{victim} answers after {time.monotonic() - began:.1f} s"
        return note

    def _pause(self, act: Act) -> str:
        seconds = self.rng.uniform(*PAUSE_S)
        if act.victim not in self.programs.running:
            self.servers.signal(act.victim, signal.SIGSTOP)
            self._hit = time.time()
            time.sleep(seconds)
            self.servers.signal(act.victim, signal.SIGCONT)
            return f"{seconds:.1f} s"
        process = self.programs.running[act.victim]
        process.send_signal(signal.SIGSTOP)
        self._hit = time.time()
        if "another" in act.how:
            self.programs.start(act.victim)
        time.sleep(seconds)
        if "another" in act.how:
            self.watch.first_after(int(time.time() * 1000), BACK_S_MAX)
        process.send_signal(signal.SIGCONT)
        return f"{seconds:.1f} s" + (self._fenced(process) if "another" in act.how else "")

    def _fenced(self, process: subprocess.Popen[bytes]) -> str:
        """The one that woke must see that another decides, and end."""
        try:
            code = process.wait(20)
        except subprocess.TimeoutExpired:
            self.violations.append("a worker that was paused goes on beside its successor")
            process.kill()
            return ", not fenced"
        if code != FENCED:
            self.violations.append(f"a fenced worker ended with exit code {code}")
        return ", then fenced"
