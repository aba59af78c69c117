"""A small detector, two models of it, and seeded records of every kind, for the worker's tests."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import msgspec
import numpy as np

from alcyon.domain.columns import Batch, Strings
from alcyon.domain.control import (
    CHALLENGER,
    AddToList,
    Control,
    RemoveFromList,
    SetModel,
    SetPolicy,
    SetRates,
    SetRules,
    encode_control,
)
from alcyon.domain.currency import DEFAULT_RATES
from alcyon.domain.errors import ModelError
from alcyon.domain.record import DeadLetter, Topic
from alcyon.domain.tokens import TokenKeys
from alcyon.features import Catalog, Count, Distinct, Entity, Expression, Mean, Previous, Std, Sum
from alcyon.features.kernel import Kernel, Limits
from alcyon.features.layout import Layout
from alcyon.io.memory import (
    MemoryCommits,
    MemoryDecisions,
    MemoryIntake,
    MemoryRecords,
    MemorySource,
)
from alcyon.learning.dataset import DAY_MS, Rows, build_dataset
from alcyon.learning.export import export
from alcyon.learning.member import FitSettings
from alcyon.learning.training import TrainingSettings, train
from alcyon.runners.stream.deciding import Means
from alcyon.runners.stream.in_force import bootstrap_controls
from alcyon.runners.stream.recovery import Recovered, recover
from alcyon.runners.stream.worker import Pace, Ports, Stepped, Worker
from alcyon.scoring.model import Model
from alcyon.scoring.policy import Exploration, Policy, Thresholds

START = 1_700_000_000_000
AMOUNT = "amount_base_minor"
card, merchant = Entity("card_id"), Entity("merchant_id")
CATALOG = Catalog(
    [
        Count(card, "10m"),
        Sum(card, AMOUNT, "1h"),
        Std(card, AMOUNT, "1h", exclude_current=True),
        Distinct(card, "country", "1h"),
        Previous(card, "country"),
        Mean(merchant, "is_fraud", "3h"),
        Expression("is_other_country", "country <> card_previous_country"),
        Expression("amount", f"{AMOUNT} + 0"),
    ],
    lateness_max="10m",
)
LAYOUT = Layout(CATALOG)
LIMITS = Limits(state_bytes_max=2**26)
POLICIES = (
    Policy(
        {"default": Thresholds(review_ppm=20_000, decline_ppm=300_000)},
        exploration=Exploration(share_ppm=50_000, amount_base_minor_max=10**9, seed=3),
    ),
    Policy({"default": Thresholds(review_ppm=60_000)}),
)


def rule(name: str, when: str, action: str) -> str:
    """One live rule as TOML."""
    return (
        f'[[rule]]\nid = "{name}"\nname = "{name}"\nwhen = """{when}"""\naction = "{action}"\n'
        f'reason_code = "{name}"\npriority = 10\nstatus = "live"\n'
    )


RULES = (
    rule("blocked", "listed('block', card_id)", "DECLINE")
    + rule("abroad", "country = 'JP'", "REVIEW"),
    rule("often", "card_count_10m > 3", "REVIEW") + rule("risky", "score > 450", "DECLINE"),
)


@cache
def models() -> Path:
    """A folder with the models m1 and m2 of the catalog, made once."""
    folder, names = Path(mkdtemp(prefix="alcyon-test-")), CATALOG.model_names
    for seed, name in enumerate(("m1", "m2")):
        rng = np.random.default_rng(seed)
        features = rng.normal(size=(3000, len(names))).astype(np.float32) * 3
        is_fraud = features[:, seed] + rng.normal(size=3000) > 3
        ids = Strings.from_list([f"t{i}" for i in range(3000)])
        times = START + np.sort(rng.integers(0, 60 * DAY_MS, 3000))
        at = np.flatnonzero(is_fraud)
        labels = Batch(
            {
                "transaction_id": ids.take(at),
                "is_fraud": np.ones(len(at), np.int64),
                "labelled_at": times[at] + DAY_MS,
            }
        )
        rows = Rows(features, names, ids, times, np.full(3000, 100))
        settings = TrainingSettings(members=("xgboost",), fit=FitSettings(seed=seed))
        export(
            train(build_dataset(rows, labels), CATALOG.hash, settings),
            folder / name, POLICIES[0], {},
        )  # fmt: skip
    return folder


@cache
def load_model(name: str) -> Model:
    """A model of the folder; ModelError for any other name."""
    if name not in ("m1", "m2"):
        raise ModelError(f"there is no model {name}")
    return Model.load(models() / name, catalog_hash=CATALOG.hash, feature_names=CATALOG.model_names)


MEANS = Means(TokenKeys(1, b"0123456789abcdef"), load_model, dead_letter_bytes_max=200)
BOOTSTRAP = tuple(bootstrap_controls(RULES[0], POLICIES[0], DEFAULT_RATES, "m1"))
PACE = Pace()
Traffic = list[tuple[Topic, bytes]]


class Generator:
    """Records of every kind, most of them transactions, in a seeded order."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._now, self._sent = START, list[bytes]()

    def traffic(self, records: int) -> Traffic:
        """The bootstrap, then `records` records."""
        kinds: dict[Callable[[], tuple[Topic, bytes]], int] = {
            self._transaction: 70, self._repeat: 5, self._conflict: 3, self._garbage: 4,
            self._label: 15, self._control: 3,
        }  # fmt: skip
        drawn = self._rng.choices(list(kinds), list(kinds.values()), k=records)
        return [(Topic.CONTROL, c) for c in BOOTSTRAP] + [draw() for draw in drawn]

    def _transaction(self) -> tuple[Topic, bytes]:
        rng = self._rng
        self._now += rng.choice([0, 0, 1, 500, 20_000])
        delay = rng.choice([0] * 12 + [5_000, 100_000, 700_000])
        record = {
            "transaction_id": f"t{len(self._sent)}",
            "event_time": self._now - delay,
            "amount_minor": rng.choice([1, 250, 99_999, rng.randrange(10**6)]),
            "currency": rng.choice(["EUR", "EUR", "JPY", "USD"]),
            "card_id": rng.choice([f"c{rng.randrange(12)}", "4111111111111111"]),
            "country": rng.choice(["DE", "DE", "FR", "JP", None]),
            "merchant_id": f"m{rng.randrange(4)}",
        }
        self._sent.append(msgspec.json.encode(record))
        return Topic.TRANSACTIONS, self._sent[-1]

    def _repeat(self) -> tuple[Topic, bytes]:
        # From within the dedupe horizon: a later repeat is late, and decided again.
        return Topic.TRANSACTIONS, self._rng.choice(self._sent[-40:] or [b"[]"])

    def _conflict(self) -> tuple[Topic, bytes]:
        return Topic.TRANSACTIONS, self._repeat()[1].replace(
            b'"amount_minor":', b'"amount_minor":7'
        )

    def _garbage(self) -> tuple[Topic, bytes]:
        return self._rng.choice(list(Topic)), self._rng.choice([b"{", b"4111111111111111", b"{}"])

    def _label(self) -> tuple[Topic, bytes]:
        rng = self._rng
        of = f"t{rng.randrange(len(self._sent) + 5)}"
        label = {
            "label_id": f"l{rng.random()}", "transaction_id": of, "is_fraud": rng.random() < 0.7,
            "source": "analyst", "labelled_at": self._now,
        }  # fmt: skip
        return Topic.LABELS, msgspec.json.encode(label)

    def _control(self) -> tuple[Topic, bytes]:
        rng = self._rng
        rates = {code: rng.randrange(1, 3_000_000) for code in ("USD", "JPY")}
        entry = ("block", "card_id", f"c{rng.randrange(12)}")
        controls: list[Control] = [
            SetRules(
                rng.choice([*RULES, "no rules", rule("wrong", "no_such_column > 1", "REVIEW")])
            ),
            SetPolicy(msgspec.Raw(msgspec.json.encode(rng.choice(POLICIES)))),
            SetPolicy(msgspec.Raw(b'{"segments":{}}')),
            SetModel(rng.choice(["m1", "m2", "m3", None])),
            SetModel(rng.choice(["m1", "m2", "m3", None]), CHALLENGER),
            SetRates(f"r{rng.random()}", "EUR", rates),
            SetRates("wrong", "EUR", {"ZZZ": 1}),
            AddToList(*entry, expires_at=rng.choice([None, self._now + 30_000])),
            RemoveFromList(*entry),
        ]
        return Topic.CONTROL, encode_control(rng.choice(controls))


@dataclass
class Home:
    """What survives a worker's end, in memory but for the snapshots."""

    snapshots: Path
    records: MemoryRecords = field(default_factory=MemoryRecords)
    commits: MemoryCommits = field(default_factory=MemoryCommits)

    def append(self, traffic: Traffic) -> None:
        """Let records arrive."""
        intake = MemoryIntake(self.records)
        for topic, payload in traffic:
            intake.append(topic, [payload])

    def start(self, pace: Pace = PACE, means: Means = MEANS) -> tuple[Worker, Recovered]:
        """Recover a worker."""
        ports = Ports(MemorySource(self.records), MemoryDecisions(self.commits), self.snapshots)
        return recover(Kernel(LAYOUT, LIMITS), ports, means, pace)

    def drained(self, pace: Pace = PACE) -> list[Stepped]:
        """Recover a worker and let it decide on all that is there."""
        worker, _ = self.start(pace)
        stepped = list(until_idle(worker))
        worker.close()
        return stepped

    def decisions(self) -> list[bytes]:
        """All decisions, in order."""
        return [d for commit in self.commits.commits for d in commit.decisions]

    def dead_letters(self) -> list[DeadLetter]:
        """All dead letters, in order."""
        decode = msgspec.json.Decoder(DeadLetter).decode
        return [decode(d) for commit in self.commits.commits for d in commit.dead_letters]


def until_idle(worker: Worker) -> Iterator[Stepped]:
    """Steps until nothing is left; a snapshot may still run."""
    while True:
        stepped = worker.step()
        yield stepped
        if not stepped.records:
            return


def expected(traffic: Traffic, snapshots: Path) -> tuple[list[bytes], list[DeadLetter]]:
    """Decisions and dead letters of an uninterrupted run without snapshots."""
    home = Home(snapshots / "uninterrupted")
    home.append(traffic)
    home.drained(Pace(batch_max=257, snapshot_every=10**9))
    return home.decisions(), home.dead_letters()
