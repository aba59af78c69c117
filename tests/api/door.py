"""The app served for real over stand-ins, for what every request passes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import httpx2
import msgspec

from alcyon.api.app import create_app
from alcyon.api.desk import Desk
from alcyon.api.guarding import USUAL, Limits
from alcyon.cli.opening.serving import bound, running
from alcyon.domain.office.asking import Answer
from alcyon.runners.serving.feeds import LiveFeeds
from alcyon.runners.serving.live_statistics import LiveStatistics
from alcyon.runners.stream.in_force import InForce
from alcyon.telemetry.metrics import Telemetry
from tests.api.standing import Keys, parts
from tests.runners.working import CATALOG


@dataclass
class Approving:
    """Approves whatever is asked."""

    asked: list[bytes] = field(default_factory=list)
    takes_s: float = 0.0

    async def ask(self, payloads: Sequence[bytes]) -> list[Answer]:
        """One each."""
        self.asked += payloads
        await asyncio.sleep(self.takes_s)
        names = [msgspec.json.decode(one)["transaction_id"] for one in payloads]
        return [Answer(n, "APPROVE", 1, 1, (), (), False, False, 1) for n in names]


@dataclass
class Door:
    """What a test holds."""

    address: str
    client: httpx2.Client
    keys: Keys
    asking: Approving
    feeds: LiveFeeds
    clock_s: list[float]
    """The feeds' clock."""
    dropped: list[bool]

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.address.rpartition(":")[2])


@contextmanager
def door(limits: Limits = USUAL) -> Iterator[Door]:
    """The app, served in a thread."""
    keys, asking, clock, dropped = Keys(), Approving(), [0.0], list[bool]()
    others, known = parts(keys), InForce.initial(CATALOG)
    feeds = LiveFeeds(
        LiveStatistics(now_s=lambda: clock[0]), lambda: known, lambda: dropped.append(True)
    )
    desk = Desk(
        asking=asking, searcher=others.searcher, office=others.office,
        explaining=others.explaining, feeds=feeds, controlling=others.controlling,
        system=lambda: {"ready": True}, telemetry=Telemetry(), origins=("https://ours.example",),
    )  # fmt: skip
    with closing(bound("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with (
            running(create_app(desk, limits), listening),
            httpx2.Client(base_url=address, timeout=30) as client,
        ):
            yield Door(address, client, keys, asking, feeds, clock, dropped)
