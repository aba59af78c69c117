"""Prometheus and Alertmanager on loopback, with the files of `deploy`, for tests and game days.

The rules are the deployed ones, in haste: see `hastened`. Targets, Slack's address and the mail
server are the caller's; everything else is as it would be in production.
"""

from __future__ import annotations

import json
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from services.cache import needed
from services.facts import ServiceError
from services.process import Command, Process, log_tail, start
from services.server import HOST, free_ports

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
RANGE_S_MIN = 5
"""Of a range in haste: it must hold some scrapes."""
RUNBOOKS_URL = "https://runbooks.example"
"""Where alerts lead to."""
_PORTS = range(29_000, 31_000)
_READY_S = 60.0
_GRACE_S = 10.0
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = r"(?P<count>\d+)(?P<unit>[smhd])"


class Every(NamedTuple):
    """How many seconds lie between two scrapes, and between two evaluations of the rules."""

    scrape_s: int
    evaluation_s: int


EACH_SECOND, AS_DEPLOYED = Every(1, 1), Every(5, 15)

Target = tuple[str, str, str]
"""Job, process, `host:port`."""
Series = tuple[dict[str, str], float]


def hastened(text: str, by: int) -> str:
    """Rules or routes whose times are shorter `by` a factor; nothing else of them is changed.

    `for`, `group_wait` and `group_interval` become a `by`-th, a second at least (none stays none);
    ranges and offsets a `by`-th, `RANGE_S_MIN` at least. Thresholds stay, those in seconds too.
    """
    waits = rf"(?P<before>\b(?:for|group_wait|group_interval): ){_DURATION}\b"
    ranges = rf"(?P<before>\[|\boffset ){_DURATION}\b"
    return re.sub(ranges, _shorter(by, RANGE_S_MIN), re.sub(waits, _shorter(by, 1), text))


def _shorter(by: int, least_s: int) -> Callable[[re.Match[str]], str]:
    def shorter(found: re.Match[str]) -> str:
        seconds = int(found["count"]) * _SECONDS[found["unit"]]
        return f"{found['before']}{max(round(seconds / by), least_s) if seconds else 0}s"

    return shorter


@dataclass(frozen=True)
class Outside:
    """Where Alertmanager tells: a webhook that stands in for Slack, a mail server `host:port`."""

    slack_url: str
    mail_server: str


@dataclass(frozen=True)
class PrometheusAlert:
    """One that is pending or firing. since: when its condition first held, unix time."""

    name: str
    state: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    since: str


class Monitors:
    """A Prometheus and an Alertmanager, from construction to `close`.

    ServiceError: a program is not there, or does not start.
    """

    def __init__(
        self,
        folder: Path,
        targets: Sequence[Target],
        outside: Outside,
        by: int = 60,
        every: Every = EACH_SECOND,
    ) -> None:
        prometheus = needed("prometheus", "prometheus")
        alertmanager = _alertmanager()
        self._folder, ports = folder, free_ports(_PORTS, None, None)
        self.address, self.alertmanager = (f"{HOST}:{port}" for port in ports)
        self._processes: list[tuple[str, Process]] = []
        _write_alertmanager(folder / "alertmanager", outside, by)
        _write_prometheus(folder / "prometheus", targets, self.alertmanager, by, every)
        try:
            self._start(
                "alertmanager", alertmanager, "--cluster.listen-address=",
                "--config.file=alertmanager.yml", "--storage.path=data",
                f"--web.listen-address={self.alertmanager}",
            )  # fmt: skip
            self._start(
                "prometheus", prometheus, "--config.file=prometheus.yml",
                "--enable-feature=expand-external-labels",
                "--storage.tsdb.path=data", f"--web.listen-address={self.address}",
            )  # fmt: skip
            for name, address in (
                ("alertmanager", self.alertmanager),
                ("prometheus", self.address),
            ):
                self._await(name, address)
        except BaseException:
            self.close()
            raise

    def query(self, expression: str) -> list[Series]:
        """What an expression is now."""
        answer = self._get(f"query?query={quote(expression)}")
        return [(one["metric"], float(one["value"][1])) for one in answer["result"]]

    def up(self) -> dict[str, bool]:
        """Each process that is a target: whether its last scrape went well."""
        found = self._get("targets?state=active")["activeTargets"]
        return {one["labels"]["process"]: one["health"] == "up" for one in found}

    def alerts(self) -> list[PrometheusAlert]:
        """All that are pending or firing."""
        return [
            PrometheusAlert(
                one["labels"]["alertname"], one["state"], one["labels"], one["annotations"],
                one["activeAt"],
            )
            for one in self._get("alerts")["alerts"]
        ]  # fmt: skip

    def firing(self) -> set[str]:
        """Their names."""
        return {one.name for one in self.alerts() if one.state == "firing"}

    def suppressed(self) -> set[str]:
        """The names of those that Alertmanager has and tells nobody of, for another says it all."""
        told = json.loads(_page(f"http://{self.alertmanager}/api/v2/alerts"))
        return {one["labels"]["alertname"] for one in told if one["status"]["inhibitedBy"]}

    def close(self) -> None:
        """Stop both."""
        for _, process in reversed(self._processes):
            process.end(_GRACE_S)

    def _get(self, what: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(_page(f"http://{self.address}/api/v1/{what}"))
        return dict(answer["data"])

    def _start(self, name: str, program: Path, *options: str) -> None:
        folder = self._folder / name
        command = Command([program, *options], {"RUNBOOKS_URL": RUNBOOKS_URL})
        self._processes.append((name, start(command, folder, folder / "log")))

    def _await(self, name: str, address: str) -> None:
        process = next(one for known, one in self._processes if known == name)
        deadline = time.monotonic() + _READY_S
        while process.lives() and time.monotonic() < deadline:
            try:
                _page(f"http://{address}/-/ready")
            except OSError:
                time.sleep(0.1)
            else:
                return
        log = log_tail(self._folder / name / "log")
        raise ServiceError(f"{name} did not become ready; its log ends:\n{log}")


def _alertmanager() -> Path:
    """Debian calls it otherwise."""
    name = "alertmanager" if shutil.which("alertmanager") else "prometheus-alertmanager"
    return needed(name, "prometheus-alertmanager")


def _page(url: str) -> bytes:
    # No proxy between us and loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as answer:
        return bytes(answer.read())


def _write_prometheus(
    folder: Path, targets: Sequence[Target], alertmanager: str, by: int, every: Every
) -> None:
    """The deployed folder, in haste, with these targets."""
    ignored = shutil.ignore_patterns("tests", "targets*")
    shutil.copytree(DEPLOY / "prometheus", folder, ignore=ignored)
    file = folder / "prometheus.yml"
    text = re.sub(r"(scrape_\w+): \d+s", rf"\1: {every.scrape_s}s", file.read_text())
    file.write_text(re.sub(r"(evaluation_\w+): \d+s", rf"\1: {every.evaluation_s}s", text))
    for rules in (folder / "rules").glob("*.yml"):
        rules.write_text(hastened(rules.read_text(), by))
    (folder / "targets").mkdir()
    for job in {job for job, _, _ in targets}:
        named = [
            {"targets": [address], "labels": {"process": process}}
            for of, process, address in targets
            if of == job
        ]
        # JSON is YAML.
        (folder / "targets" / f"{job}.yml").write_text(json.dumps(named))
    (folder / "targets" / "alertmanager.yml").write_text(json.dumps([{"targets": [alertmanager]}]))


def _write_alertmanager(folder: Path, outside: Outside, by: int) -> None:
    """The deployed folder, in haste, with the secrets of our own receivers."""
    shutil.copytree(DEPLOY / "alertmanager", folder)
    file = folder / "alertmanager.yml"
    text = hastened(file.read_text(), by)
    server = f"smtp_smarthost: {outside.mail_server}\n  smtp_require_tls: false"
    file.write_text(re.sub(r"smtp_smarthost: .*", server, text))
    (folder / "secrets" / "slack_url").write_text(outside.slack_url)
    (folder / "secrets" / "smtp_password").write_text("not-a-secret")
