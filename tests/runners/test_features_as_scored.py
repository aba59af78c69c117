"""What a decision keeps of its features is what a training set is given for the same payment."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from alcyon.codecs.decisions import decode
from alcyon.domain.record import Topic
from alcyon.domain.tokens import TokenKeys
from alcyon.runners.files.arrivals import Sources
from alcyon.runners.learning.training import backfill_rows
from alcyon.runners.stream.worker import Pace
from tests.runners.working import BOOTSTRAP, CATALOG, LIMITS, Generator, Home, Traffic


def test_features_of_decisions_are_those_of_the_backfill_to_the_bit(tmp_path: Path) -> None:
    """Late and repeated payments, labels among them, and a worker that starts again in between.

    The rates stay: a file is read with one table of them.
    """
    drawn, bootstrap = Generator(11).traffic(3000), len(BOOTSTRAP)
    traffic = drawn[:bootstrap] + [t for t in drawn[bootstrap:] if b'"rates"' not in t[1]]
    home = Home(tmp_path)
    for part in (traffic[:1300], traffic[1300:]):
        home.append(part)
        home.drained(Pace(batch_max=61, snapshot_every=500))
    scored = {d.transaction_id: d for d in decode(home.decisions()) if not late(d.codes)}
    rows = backfill_rows(CATALOG, written(traffic, tmp_path), LIMITS).rows
    ids = [t or "" for t in rows.transaction_id.to_list()]
    found = dict(zip(ids, rows.features, strict=True))
    assert found.keys() == scored.keys()
    assert len(found) > 1500
    differ = [t for t, row in found.items() if row.astype("<f4").tobytes() != scored[t].features]
    assert differ == []
    assert np.isfinite(rows.features).mean() > 0.5
    share = CATALOG.model_names.index("merchant_mean_is_fraud_3h")
    assert np.nanmax(rows.features[:, share]) > 0  # labels took part


def late(codes: tuple[str, ...]) -> bool:
    return "late_transaction" in codes


def written(traffic: Traffic, folder: Path) -> Sources:
    """The same records as files, each with its place in the order."""
    files = {topic: folder / f"{topic.value}.jsonl" for topic in (Topic.TRANSACTIONS, Topic.LABELS)}
    for topic, file in files.items():
        lines = []
        for sequence, (of, payload) in enumerate(traffic):
            if of is topic and payload.startswith(b'{"'):
                lines.append(json.dumps(json.loads(payload) | {"sequence": sequence}))
        file.write_text("\n".join(lines))
    keys = TokenKeys(1, b"0123456789abcdef")
    return Sources(files[Topic.TRANSACTIONS], files[Topic.LABELS], keys)
