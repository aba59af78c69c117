"""Telemetry: names, zeroes, histograms, and lines that hold nothing personal."""

from __future__ import annotations

import ast
import io
import json
import re
import shutil
import subprocess
import sys
import threading
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import prometheus_client
import pytest
from prometheus_client import Metric, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from alcyon.domain.decision import Action, Versions
from alcyon.domain.label import LABEL_COLUMNS
from alcyon.domain.record import Topic
from alcyon.domain.transaction import COLUMNS
from alcyon.telemetry.instruments import Histogram
from alcyon.telemetry.lines import KEYS, Log, make_log
from alcyon.telemetry.metrics import Telemetry
from alcyon.telemetry.words import ACTIONS, OTHER, REASONS, TOPICS, VERSIONS
from alcyon.telemetry.worker import BATCH_BUCKETS, LATENCY_BUCKETS_S

SOURCES = Path(__file__).resolve().parent.parent / "src" / "alcyon"
UNITS = (
    "records|decisions|alerts|letters|duplicates|late|labels|controls|batches|snapshots|recoveries|"
    "commits|rows|outages|failures|lines|seconds|bytes|sequence|bool|info|answers|watchers|"
    "findings|models|promotions|backs|hits|amount|scores|updates|psi|alarms|requests|ins|limited|"
    "calls|messages"
)
GRAMMAR = re.compile(rf"alcyon_[a-z]+(_[a-z]+)*_({UNITS})(_total)?")
LABELS = {
    "topic", "action", "reason", "outcome", "part", "store", "kind", "rule", "feature", "route",
    "method", "status", "channel", *VERSIONS,
}  # fmt: skip
CARDS = ("4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "378282246310005")


def families(telemetry: Telemetry) -> list[Metric]:
    """What Prometheus reads."""
    return list(parse(generate_latest(telemetry.registry).decode()))


def own(telemetry: Telemetry) -> list[Metric]:
    """Without those of the process."""
    return [f for f in families(telemetry) if not f.name.startswith("process_")]


def test_every_name_follows_the_grammar() -> None:
    telemetry = Telemetry()
    names = {
        f"{f.name}_total" if f.type == "counter" else f.name
        for f in own(telemetry)
        if f.name != "alcyon_versions_info"
    }
    assert len(names) > 30
    assert {name for name in names if not GRAMMAR.fullmatch(name)} == set()
    for family in own(telemetry):
        ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
        for sample in family.samples:
            assert sample.name in ([f"{family.name}{end}" for end in ends.get(family.type, ("",))])


def test_the_process_tells_of_itself_under_the_usual_names() -> None:
    names = {f.name for f in families(Telemetry()) if not f.name.startswith("alcyon_")}
    assert {"process_cpu_seconds", "process_resident_memory_bytes", "process_open_fds"} <= names
    assert all(name.startswith("process_") for name in names)


def test_no_label_could_be_an_id() -> None:
    samples = [s for f in own(Telemetry()) for s in f.samples if not s.name.endswith("_bucket")]
    assert {name for sample in samples for name in sample.labels} <= LABELS
    assert len(samples) < 300


def test_all_counters_are_there_at_zero() -> None:
    counted = {
        (s.name, *s.labels.values()): s.value
        for f in own(Telemetry())
        for s in f.samples
        if f.type in ("counter", "histogram")
    }
    assert set(counted.values()) == {0.0}
    for topic in Topic:
        assert ("alcyon_worker_records_total", topic.name.lower()) in counted
    for action in Action:
        assert ("alcyon_worker_decisions_total", action.value) in counted
    for reason in REASONS:
        assert ("alcyon_worker_dead_letters_total", reason) in counted


def test_known_label_values_are_the_domains_words() -> None:
    assert tuple(topic.name.lower() for topic in Topic) == TOPICS
    assert tuple(action.value for action in Action) == ACTIONS
    assert Versions.__struct_fields__ == VERSIONS


def _reasons(path: Path) -> Iterator[str]:
    """Codes at the head of a (reason, detail) pair, or behind the row of a fault."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Tuple([ast.Constant(str(code)), ast.Constant(str()) | ast.JoinedStr()]):
                yield code
            case ast.Tuple([ast.Constant(str(code)), ast.Name("detail")]):
                yield code
            case ast.Call(ast.Name("Fault" | "fault"), [_, ast.Constant(str(code)), *_]):
                yield code
            case ast.Assign(value=ast.IfExp(ast.expr(), body, orelse)):
                found = (c.value for c in (body, orelse) if isinstance(c, ast.Constant))
                yield from (c for c in found if isinstance(c, str))
            case ast.Assign(
                [ast.Name("CONFLICTING_DUPLICATE" | "UNKNOWN_SCHEMA")], ast.Constant(str(code))
            ):
                yield code
            case ast.Assign(
                [ast.Tuple([ast.Name("INVALID_CONTROL"), _])],
                ast.Tuple([ast.Constant(str(first)), ast.Constant(str(second))]),
            ):
                yield from (first, second)


def test_every_reason_of_a_dead_letter_is_known() -> None:
    paths = [
        *SOURCES.glob("codecs/json*.py"), *SOURCES.glob("codecs/avro*.py"),
        SOURCES / "domain" / "validation.py", SOURCES / "domain" / "admission.py",
        SOURCES / "runners" / "stream" / "deciding.py",
    ]  # fmt: skip
    found = {code for path in paths for code in _reasons(path)}
    found = {code for code in found if re.fullmatch("[a-z]+(_[a-z]+)+", code)}
    columns = {*COLUMNS, *LABEL_COLUMNS}
    ranges = {r for r in REASONS if r.removesuffix("_out_of_range") in columns}
    assert ranges == {
        f"{name}_out_of_range" for name, kind in {**COLUMNS, **LABEL_COLUMNS}.items()
        if kind.name in ("INT", "FLOAT") and not name.endswith("_minor")
    }  # fmt: skip
    assert found - columns - set(REASONS) == set(), "name the new reason in telemetry.words.REASONS"
    assert set(REASONS) - found - ranges - {OTHER} == set(), "no longer in the code"


def test_an_unknown_reason_counts_as_other() -> None:
    telemetry = Telemetry()
    telemetry.worker.dead_letters.add("loyalty_points_out_of_range", 3)
    value = telemetry.registry.get_sample_value
    assert value("alcyon_worker_dead_letters_total", {"reason": OTHER}) == 3


def test_an_unknown_action_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        Telemetry().worker.decisions.add("MAYBE")


def test_two_processes_share_nothing_with_each_other_or_the_library() -> None:
    first, second = Telemetry(), Telemetry()
    first.worker.alerts.inc()
    assert second.registry.get_sample_value("alcyon_worker_alerts_total") == 0
    assert b"alcyon" not in generate_latest(prometheus_client.REGISTRY)


def test_openmetrics_parses_and_says_the_same() -> None:
    telemetry = Telemetry()
    telemetry.worker.decisions.add("REVIEW", 7)
    telemetry.worker.latency.observe(np.array([0.004, 12.0]))
    text = openmetrics.generate_latest(telemetry.registry).decode()  # type: ignore[no-untyped-call]
    parsed = list(parse_openmetrics(text))  # type: ignore[no-untyped-call]
    values = {(s.name, *s.labels.values()): s.value for f in parsed for s in f.samples}
    assert values["alcyon_worker_decisions_total", "REVIEW"] == 7
    assert values["alcyon_worker_decision_latency_seconds_count",] == 2
    assert not any(str(key[0]).endswith("_created") for key in values)


def test_versions_replace_each_other() -> None:
    telemetry = Telemetry()
    for version in ("a", "b"):
        telemetry.worker.versions(dict.fromkeys(VERSIONS, version))
    info = next(f for f in families(telemetry) if f.name.startswith("alcyon_versions"))
    assert [s.labels for s in info.samples] == [dict.fromkeys(VERSIONS, "b")]


def _buckets(histogram: Histogram) -> list[float]:
    (family,) = histogram.collect()
    return [s.value for s in family.samples if s.name.endswith("_bucket")]


@pytest.mark.parametrize("bounds", [LATENCY_BUCKETS_S, BATCH_BUCKETS])
def test_a_histogram_equals_one_value_after_the_other(bounds: tuple[float, ...]) -> None:
    rng = np.random.default_rng(1)
    histogram, expected = Histogram("x_seconds", "x", bounds), np.zeros(len(bounds) + 1)
    total = 0.0
    for n in (0, 1, 1000):
        values = np.concatenate([rng.choice(bounds, n), rng.exponential(bounds[5], n)])
        histogram.observe(values)
        for value in values.tolist():
            expected[bisect_left(bounds, value) :] += 1
            total += value
    assert _buckets(histogram) == expected.tolist()
    (family,) = histogram.collect()
    sums = {s.name: s.value for s in family.samples if not s.labels}
    assert sums["x_seconds_sum"] == pytest.approx(total)
    assert sums["x_seconds_count"] == 2002


def test_whole_milliseconds_at_a_bound_are_within_it() -> None:
    histogram = Histogram("x_seconds", "x", LATENCY_BUCKETS_S)
    bounds_ms = np.array(LATENCY_BUCKETS_S) * 1000
    histogram.observe(np.rint(bounds_ms[bounds_ms >= 1]) / 1000)
    assert _buckets(histogram)[0] == 1


def test_a_histogram_loses_nothing_between_threads() -> None:
    histogram = Histogram("x_seconds", "x", LATENCY_BUCKETS_S)

    def observe() -> None:
        for _ in range(500):
            histogram.observe(np.ones(3))

    threads = [threading.Thread(target=observe) for _ in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert _buckets(histogram)[-1] == 6000


def test_promtool_has_nothing_to_say() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    telemetry = Telemetry()
    telemetry.worker.versions(dict.fromkeys(VERSIONS, "a"))
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=generate_latest(telemetry.registry), check=False,
        capture_output=True,
    )  # fmt: skip
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def _log(is_terminal: bool = False) -> tuple[Log, io.StringIO]:
    stream = io.StringIO()
    return make_log(stream, is_terminal, lambda: None), stream


def test_a_line_is_json_with_a_utc_time() -> None:
    log, stream = _log()
    log.info("snapshot written", bytes=12, reasons={"wrong_type": 2}, now_ms=1_700_000_000_123)
    assert json.loads(stream.getvalue()) == {
        "time": "2023-11-14T22:13:20.123Z", "level": "info", "event": "snapshot written",
        "bytes": 12, "reasons": {"wrong_type": 2},
    }  # fmt: skip
    assert stream.getvalue().count("\n") == 1


def test_a_line_without_a_time_is_of_now() -> None:
    log, stream = _log()
    log.error("failed")
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT[\d:.]{12}Z", json.loads(stream.getvalue())["time"])


def test_a_line_at_a_terminal_is_readable() -> None:
    log, stream = _log(is_terminal=True)
    log.warning("dead letters", count=3, now_ms=1_700_000_000_123)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
    assert re.fullmatch(r"2023-11-14T22:13:20.123Z \[warning *\] dead letters count=3\n", plain)


@pytest.mark.parametrize("is_terminal", [False, True])
def test_only_known_keys_reach_a_line(is_terminal: bool) -> None:
    log, stream = _log(is_terminal)
    log.info(
        "decided", card_id="c-secret", payload=b"p-secret", customer_id="h-secret", ip="10.9.8.7",
        transaction_id="t-secret", count=4,
    )  # fmt: skip
    assert "secret" not in stream.getvalue()
    assert "10.9.8.7" not in stream.getvalue()
    assert "card_id customer_id ip payload transaction_id" in stream.getvalue()


def test_known_keys_are_no_columns() -> None:
    assert not KEYS & {*COLUMNS, *LABEL_COLUMNS, "payload", "detail", "features"}


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("frame", ["{}", "x{}y", "12 {} 34", '{{"card_id":"{}"}}', "99{}"])
def test_no_value_shows_a_card_number(card: str, frame: str) -> None:
    text = frame.format(card)
    log, stream = _log()
    log.info(text, error=text, reasons={text: 1}, why=[text], snapshot={"a": {"b": text}})
    assert card not in stream.getvalue()
    assert re.sub("[ -]", "", card) not in stream.getvalue()


def test_neither_bytes_nor_objects_are_written() -> None:
    log, stream = _log()
    log.info("x", why=b"secret", error=ValueError("secret"), where=["secret"])
    assert "secret" not in stream.getvalue()


def test_passwords_and_tokens_are_left_out() -> None:
    log, stream = _log()
    log.error("x", why="postgresql://me:hush@db:5432/a refused k1_0123456789abcdef0123456789abcdef")
    line = json.loads(stream.getvalue())
    assert line["why"] == "postgresql://…@db:5432/a refused [token]"


def test_what_an_operator_needs_is_not_masked() -> None:
    log, stream = _log()
    name = "0000000001-00000000000000100000.snapshot"
    why = "segment 00000000000000123456.log at 2024-01-01 00:00 broker 10.0.0.1:9092 is away"
    log.error("x", snapshot=name, why=why, next_sequence=123_456_789_012)
    line = json.loads(stream.getvalue())
    assert (line["snapshot"], line["why"], line["next_sequence"]) == (name, why, 123_456_789_012)


def test_no_snapshots_name_is_masked() -> None:
    for epoch in range(1, 100):
        log, stream = _log()
        name = f"{epoch:010d}-{epoch * 123_456_789:020d}.snapshot"
        log.error("x", snapshot=name)
        assert json.loads(stream.getvalue())["snapshot"] == name


def test_an_event_is_one_line_of_bounded_length() -> None:
    for is_terminal in (False, True):
        log, stream = _log(is_terminal)
        log.error("x\ny", why="a\r\nb\x1b[2J\u2028" + "z" * 10**6)
        assert len(stream.getvalue()) < 1000
        assert len(stream.getvalue().splitlines()) == 1
        assert "\x1b[2J" not in stream.getvalue()


def test_a_lost_line_is_counted_and_ends_nothing() -> None:
    telemetry, stream = Telemetry(), io.StringIO()
    log = make_log(stream, False, telemetry.process.lost_lines.inc)
    log.info("seen")
    stream.close()
    log.info("lost")
    assert telemetry.registry.get_sample_value("alcyon_log_lost_lines_total") == 1
