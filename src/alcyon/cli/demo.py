"""`alcyon demo`"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from importlib.util import find_spec
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.live import Live

from alcyon.cli.showing.live import drawn, line
from alcyon.cli.showing.options import Json, Port, settings
from alcyon.cli.showing.talk import member_progress, progress, show_json, tell, tell_error
from alcyon.cli.showing.typed import typed_keys
from alcyon.detectors.loading import load_detector
from alcyon.domain.errors import InputError
from alcyon.io.model_folder import FolderRegistry
from alcyon.runners.demo.opening import Equipment, Opened, Wanted, open_demo
from alcyon.runners.demo.outcome import Outcome, outcome
from alcyon.runners.demo.place import DemoPlace, only_one
from alcyon.runners.demo.recipe import Recipe, read_recipe
from alcyon.runners.demo.running import Running
from alcyon.runners.demo.setup import Making, make_setup
from alcyon.runners.demo.view import Watching
from alcyon.runners.learning.models import loader
from alcyon.runners.stream.deciding import Means
from alcyon.settings import Settings

SEED = 7
DRAWN_EVERY_S = 0.25
LINE_EVERY_S = 5.0
AGAIN_S = 0.3
"""Under make and uv one Ctrl-C may come twice: the second must not cut the ending short."""
SWITCH_S = 0.0005
"""How long one thread may keep the others from deciding; Python's own 5 ms would be seen."""

Exit = Annotated[bool, Parameter(name="--exit", negative="")]


def demo(
    *,
    rate: float = 50.0,
    transactions: int | None = None,
    at_full_speed: Exit = False,
    port: Annotated[int | None, Port] = None,
    no_browser: Annotated[bool, Parameter(name="--no-browser", negative="")] = False,
    seed: int | None = None,
    as_json: Json = False,
) -> None:
    """See fraud being caught, with nothing but Python.

    The first start makes a history, trains a model on it and warms the state; later
    ones go on where the last one ended, however it did. The console and the API are served
    meanwhile, to this machine only. q or Ctrl-C ends it.

    An example:
        alcyon demo
        alcyon demo --transactions 100000 --exit --json

    Parameters
    ----------
    rate
        Transactions per second.
    transactions
        With --exit: how many in all, those of earlier runs included.
    at_full_speed
        Do not keep to the clock; end when all transactions are decided and stored.
    port
        Where the console is; serve.port (8080) otherwise.
    no_browser
        Do not open it.
    seed
        Of the simulation; fixed by the first start.
    as_json
        Print the outcome as one JSON object.
    """
    wanted, set_to = _wanted(rate, transactions, at_full_speed), settings()
    place = DemoPlace(set_to.home / "demo")
    equipment = _equipment(place, set_to)
    with only_one(place.folder), _interrupted_by_term():
        _set_up(place, equipment, seed)
        with progress("decisions read") as advance:
            opened = open_demo(place, equipment, wanted, lambda name, done: advance(done))
        try:
            _tell_recovered(opened)
            ended = _run(
                opened, as_json, lambda running: _served(opened, running, set_to, port, no_browser)
            )
        finally:
            opened.close()
    if as_json:
        show_json(ended)
    else:
        _tell_outcome(place, ended)


def _wanted(rate: float, transactions: int | None, at_full_speed: bool) -> Wanted:
    if at_full_speed != (transactions is not None):
        raise InputError("--transactions and --exit go together: give both, or neither")
    if transactions is not None and transactions < 1:
        raise InputError(f"--transactions {transactions}: give 1 or more")
    if not 0.1 <= rate <= 10_000:
        raise InputError(f"--rate {rate}: give 0.1 … 10000 per second")
    return Wanted(None if at_full_speed else rate, transactions)


def _equipment(place: DemoPlace, set_to: Settings) -> Equipment:
    detector = load_detector("card")
    means = Means(
        set_to.token.keys(),
        loader(FolderRegistry(place.models), detector.catalog),
        detector.columns,
        set_to.codec.payload_bytes_max,
        set_to.codec.dead_letter_bytes_max,
    )
    worker = set_to.worker
    return Equipment(
        detector, means, set_to.log.fsync, worker.batch_max, worker.snapshot_every,
        worker.snapshots_kept,
    )  # fmt: skip


def _set_up(place: DemoPlace, equipment: Equipment, seed: int | None) -> None:
    if place.is_finished:
        made_with = read_recipe(place.recipe).seed
        if seed not in (None, made_with):
            raise InputError(
                f"the demo in {place.folder} has seed {made_with}: leave --seed out, or set "
                "ALCYON_HOME to another folder"
            )
        return
    started = time.monotonic()
    recipe = Recipe(seed=SEED if seed is None else seed, now=round(time.time() * 1000))
    tell("First start: a history is made and a model trained; this takes about a minute.")
    with member_progress() as step:
        make_setup(Making(place, recipe, equipment.detector, equipment.means, step))
    tell(
        f"{place.folder}: {recipe.history_transactions:,} transactions of history, a model and a "
        f"warmed state, in {time.monotonic() - started:.0f} s"
    )


def _tell_recovered(opened: Opened) -> None:
    found = opened.recovered
    for name, why in found.refused:
        tell_error(f"snapshot {name} cannot be used: {why}; an older one is")
    if (problem := opened.model_problem) is not None:
        tell_error(f"{problem}; without a model, rules and the fallback action decide")
    if opened.counted.sent.transactions:
        tell(
            f"Going on behind {opened.counted.sent.transactions:,} transactions; "
            f"{found.replayed:,} records were read again behind the last snapshot"
        )


def _run(
    opened: Opened, as_json: bool, served: Callable[[Running], AbstractContextManager[None]]
) -> Outcome:
    """Run to the end; raises what went wrong on the way."""
    sys.setswitchinterval(SWITCH_S)
    before, started = opened.scoreboard.figures().decisions, time.monotonic()
    with Running(opened) as running:
        running.start()
        if opened.wanted.rate is None:
            _at_full_speed(opened, running)
        else:
            with served(running):
                _by_the_clock(opened, running, Console(stderr=as_json))
        seconds = time.monotonic() - started
        running.end()
        for warning in running.seen.warnings:
            tell_error(warning)
    new = opened.scoreboard.figures().decisions - before
    return outcome(opened, new / seconds if new else None)


@contextmanager
def _served(
    opened: Opened, running: Running, set_to: Settings, port: int | None, no_browser: bool
) -> Iterator[None]:
    """The console meanwhile, where its extra is installed."""
    if find_spec("fastapi") is None:
        tell("Without the console: install alcyon[api] for it.")
        yield
        return
    from alcyon.cli.opening.demo_served import demo_served
    from alcyon.cli.opening.serving import show

    with demo_served(opened, running, set_to, port) as address:
        tell(f"The console is at {address}, the API is described at {address}/docs")
        if not no_browser:
            show(address)
        yield


def _at_full_speed(opened: Opened, running: Running) -> None:
    try:
        with progress("transactions", opened.wanted.transactions) as advance:
            while running.wait(DRAWN_EVERY_S):
                advance(opened.scoreboard.figures().decisions)
    except KeyboardInterrupt:
        tell("Ending: what was sent is decided and stored.")


def _by_the_clock(opened: Opened, running: Running, console: Console) -> None:
    watching = Watching(opened, running)
    try:
        with typed_keys() as typed:
            if console.is_terminal:
                _draw(running, watching, console, typed)
            else:
                _say(running, watching, console)
    except KeyboardInterrupt:
        with suppress(KeyboardInterrupt):
            time.sleep(AGAIN_S)
    finally:
        watching.close()


def _draw(running: Running, watching: Watching, console: Console, typed: Callable[[], str]) -> None:
    with Live(drawn(watching.look()), console=console, auto_refresh=False, transient=False) as live:
        while running.wait(DRAWN_EVERY_S) and "q" not in typed().lower():
            live.update(drawn(watching.look()), refresh=True)


def _say(running: Running, watching: Watching, console: Console) -> None:
    told = time.monotonic()
    while running.wait(DRAWN_EVERY_S):
        if time.monotonic() - told >= LINE_EVERY_S:
            told = time.monotonic()
            view = watching.look()
            for text in (*view.warnings, line(view)):
                console.print(text, highlight=False, markup=False, soft_wrap=True)


def _tell_outcome(place: DemoPlace, ended: Outcome) -> None:
    caught = "–" if ended.recall is None else f"{ended.recall:.1%}"
    false = "–" if ended.false_positive_rate is None else f"{ended.false_positive_rate:.2%}"
    tell(
        f"Ended and saved in {place.folder}: {ended.decisions:,} decisions, {ended.alerts:,} "
        f"alerts; simulated data: {caught} of frauds caught, {false} false alarms"
    )


@contextmanager
def _interrupted_by_term() -> Iterator[None]:
    """A service manager's way to say Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
