"""Following what is in force, for a process beside the worker: it reads the control records too.

What the worker refuses is refused here by the same code. A model that cannot be had leaves the one
before it, as it does there, and is tried again now and then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Protocol

import msgspec

from alcyon.domain.control import CHAMPION, SetModel, decode_control
from alcyon.domain.errors import AlcyonError, InputError, ModelError
from alcyon.domain.ports import Intake
from alcyon.domain.record import Topic
from alcyon.features.catalog import Catalog
from alcyon.io.log import EmbeddedSource
from alcyon.io.snapshots import headers
from alcyon.runners.stream.in_force import InForce, InForceData, LoadModel
from alcyon.scoring.model import Model

if TYPE_CHECKING:
    from alcyon.io.kafka import Connection, TopicNames

REFRESH_S = 1.0
"""How old an answer may be."""
RETRY_S = 30.0
"""Between two attempts at a model that could not be had."""
END_S = 2.0
"""For the thread to end."""
_AT_ONCE = 4096


class Controls(Protocol):
    """Where control records come from. Called by one thread at a time."""

    def beginning(self) -> InForce:
        """What was in force before the first of `more`. Called once, first."""
        ...

    def more(self) -> list[bytes]:
        """The control records since the last call, in order. LogError, UnreachableError: none of
        them is lost, ask again."""
        ...

    def close(self) -> None:
        """Called once, last."""
        ...


class InForceFollowing:
    """What is in force by now; for several threads.

    load_model: as the worker's. clock: seconds that only grow.
    """

    def __init__(
        self,
        controls: Controls,
        load_model: LoadModel,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._controls, self._clock = controls, clock
        self._models = _Models(load_model)
        self._lock = Lock()
        self._known: InForce | None = None
        self._due_at = 0.0
        self._thread: Thread | None = None
        self._is_closed = Event()
        self.problem: str | None = None
        """Why it could not be refreshed the last time; what was known goes on being told."""

    def now(self) -> InForce:
        """What is in force, at most `REFRESH_S` old; where a model changed, a call takes as long
        as loading it, while others are given what was before. Once started, it never waits.

        LogError, UnreachableError: the first call could not read the control records.
        """
        known = self._known
        if known is not None and (self._thread is not None or self._clock() < self._due_at):
            return known
        if not self._lock.acquire(blocking=known is None):
            assert known is not None
            return known
        try:
            if self._known is None or self._clock() >= self._due_at:
                self._refresh()
            assert self._known is not None
            return self._known
        finally:
            self._lock.release()

    def start(self) -> None:
        """Read what is in force, and go on reading in a thread. Errors as for `now`."""
        self.now()
        self._thread = Thread(target=self._go_on, name="in-force", daemon=True)
        self._thread.start()

    def look_again(self) -> None:
        """Something was written: when this returns, it is known, unless it cannot be read. A broker
        shows it some milliseconds later; then the next look has it."""
        with self._lock:
            if self._known is not None:
                self._refresh()

    @property
    def missing(self) -> dict[str, str]:
        """Why a model that was asked for is not the one in force, by alias."""
        return dict(self._models.problems)

    def close(self) -> None:
        """Called once, last."""
        self._is_closed.set()
        if self._thread is not None:
            self._thread.join(END_S)
        with self._lock:
            self._controls.close()

    def _go_on(self) -> None:
        while not self._is_closed.wait(REFRESH_S):
            self.look_again()

    def _refresh(self) -> None:
        try:
            first = self._known is None
            known = self._models.begun_with(self._controls.beginning()) if first else self._known
            assert known is not None
            for payload in self._controls.more():
                known = self._changed(known, payload)
        except AlcyonError as error:
            if self._known is None:
                raise
            self.problem = str(error)
        else:
            self.problem = None
            self._known = self._models.put_into(known, self._clock())
        self._due_at = self._clock() + REFRESH_S

    def _changed(self, known: InForce, payload: bytes) -> InForce:
        try:
            control = decode_control(payload)
            if isinstance(control, SetModel):
                self._models.ask(control)
                return known
            return known.changed(control, None)
        except InputError:  # the worker refused it, too
            return known


@dataclass
class _Models:
    """What was asked for under each alias, and what could be had of it."""

    load: LoadModel
    asked: dict[str, list[str | None]] = field(default_factory=dict)
    """By alias: the one in force, then those that were asked for later and cannot be had."""
    loaded: dict[str, Model] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    retry_at: float = 0.0
    is_changed: bool = True

    def begun_with(self, in_force: InForce) -> InForce:
        self.asked = {CHAMPION: [in_force.model], "challenger": [in_force.challenger]}
        return in_force

    def ask(self, control: SetModel) -> None:
        self.asked[control.alias].append(control.name)
        self.is_changed = True

    def put_into(self, in_force: InForce, now: float) -> InForce:
        """The newest of each alias that can be had."""
        if self.is_changed or (self.problems and now >= self.retry_at):
            self.retry_at = now + RETRY_S
            self.problems.clear()
            for alias, names in self.asked.items():
                self.asked[alias] = self._usable(alias, names)
            self.is_changed = False
            kept = {names[0] for names in self.asked.values()}
            self.loaded = {name: model for name, model in self.loaded.items() if name in kept}
        (champion, *_), (challenger, *_) = self.asked.values()
        decides, beside = self._had(champion), self._had(challenger)
        conduct = in_force.conduct
        if (conduct.model, conduct.challenger) != (decides, beside):
            conduct = conduct.with_model(decides).with_challenger(beside)
        return replace(
            in_force,
            conduct=conduct,
            model=champion,
            model_version=decides.version if decides else None,
            challenger=challenger,
            challenger_version=beside.version if beside else None,
        )

    def _had(self, name: str | None) -> Model | None:
        return None if name is None else self.loaded.get(name)

    def _usable(self, alias: str, names: list[str | None]) -> list[str | None]:
        """From the newest that can be had on; all of them where none can."""
        for at in range(len(names) - 1, -1, -1):
            name = names[at]
            if name is None or name in self.loaded:
                return names[at:]
            try:
                self.loaded[name] = self.load(name)
            except ModelError as error:
                self.problems.setdefault(alias, str(error))
            else:
                return names[at:]
        return names[-1:]


class EmbeddedControls:
    """Of the embedded log: the newest snapshot's header says what was in force at its place, the
    intake what changed behind it."""

    def __init__(self, intake: Path, snapshots: Path, catalog: Catalog) -> None:
        self._source = EmbeddedSource(intake)
        self._snapshots, self._catalog = snapshots, catalog

    def beginning(self) -> InForce:
        """As of the newest snapshot that can be read; else before the first control record."""
        for header in headers(self._snapshots):
            if header.catalog != self._catalog.hash:
                continue
            with suppress(msgspec.DecodeError, InputError):
                data = msgspec.json.decode(header.in_force, type=InForceData)
                in_force = InForce.of_data(data, self._catalog)
                self._source.seek(header.position)
                return in_force
        self._source.seek(0)
        return InForce.initial(self._catalog)

    def more(self) -> list[bytes]:
        """The control records among what came."""
        found: list[bytes] = []
        while records := self._source.poll(_AT_ONCE, 0.0):
            found += [record.payload for record in records if record.topic is Topic.CONTROL]
        return found

    def close(self) -> None:
        """Called once, last."""
        self._source.close()


class HeldControls:
    """Of an embedded intake that this process alone writes: what is there already, and then what it
    writes itself. So no transaction is read again to find out that nothing was changed."""

    def __init__(self, before: EmbeddedControls) -> None:
        self._before = before
        self._written: list[bytes] = []
        self._has_read = False
        self._lock = Lock()

    def noting(self, intake: Intake) -> Intake:
        """The intake, through which control records are to be written from now on."""
        return _Noting(intake, self)

    def written(self, intake: Intake, payloads: Sequence[bytes]) -> None:
        """Write control records, and know of them."""
        with self._lock:
            intake.append(Topic.CONTROL, payloads)
            self._written += payloads

    def beginning(self) -> InForce:
        """As `EmbeddedControls`."""
        return self._before.beginning()

    def more(self) -> list[bytes]:
        """What was there, once; then what was written since."""
        with self._lock:
            found, self._written = self._written, []
            if not self._has_read:
                found = self._before.more()  # what was written so far is in it
                self._has_read = True
        return found

    def close(self) -> None:
        """Called once, last."""
        self._before.close()


class _Noting(Intake):
    """An intake whose control records are known of."""

    def __init__(self, intake: Intake, held: HeldControls) -> None:
        self._intake, self._held = intake, held

    def append(self, topic: Topic, payloads: Sequence[bytes]) -> None:
        if topic is Topic.CONTROL:
            self._held.written(self._intake, payloads)
        else:
            self._intake.append(topic, payloads)

    def close(self) -> None:
        self._intake.close()


class KafkaControls:
    """Of the control topic, which is kept for ever."""

    def __init__(self, connection: Connection, names: TopicNames, catalog: Catalog) -> None:
        from alcyon.io.kafka.control import ControlReader

        self._reader, self._catalog = ControlReader(connection, names), catalog

    def beginning(self) -> InForce:
        """Before the first control record."""
        return InForce.initial(self._catalog)

    def more(self) -> list[bytes]:
        """What came into the topic."""
        return self._reader.more()

    def close(self) -> None:
        """Called once, last."""
        self._reader.close()


def followed_once(controls: Controls, load_model: LoadModel) -> InForce:
    """What is in force now, for a command that asks once. Errors as for `InForceFollowing.now`."""
    with closing(InForceFollowing(controls, load_model)) as following:
        return following.now()
