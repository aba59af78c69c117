"""What every request passes: bounds, headers, origins, counts; and the feeds' door."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from alcyon.api.guarding import HEADERS, Buckets, Limits
from alcyon.cli.opening.arriving import Arriving
from tests.api.door import Door, door
from tests.api.standing import ADMIN, INGEST, SESSION, VIEWER
from tests.cli.run_process import until
from tests.runners.seeing import seen

PAYMENT = b'{"transaction_id":"a"}'
THREADS = 40
"""That routes have among them: as many as AnyIO gives."""


def asked(
    where: Door, body: bytes | Iterator[bytes] = PAYMENT, key: str = INGEST, **headers: str
) -> tuple[int, dict[str, object]]:
    """The status and the body of an answer to POST /v1/decisions."""
    answer = where.client.post("/v1/decisions", content=body, headers={"X-API-Key": key} | headers)
    return answer.status_code, answer.json()


def test_every_answer_has_the_headers_and_no_page_has_a_script_in_it() -> None:
    with door() as where:
        paths = ("/healthz", "/docs", "/docs/files/swagger-ui.css", "/v1/users", "/nowhere")
        answers = [where.client.get(path) for path in paths]
        answers.append(where.client.post("/v1/decisions", content=PAYMENT))
        for answer in answers:
            assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS, answer.url
        page = where.client.get("/docs").text
        scripts = [line for line in page.splitlines() if "<script" in line]
        assert scripts
        assert all('src="/docs/' in line and "></script>" in line for line in scripts)
        assert "SwaggerUIBundle" in where.client.get("/docs/open.js").text
        assert where.client.get("/docs/files/swagger-ui-bundle.js").status_code == 200
        assert where.client.get("/v1/live", headers={"X-API-Key": VIEWER}).headers[
            "cache-control"
        ] == "no-store"  # fmt: skip


def test_a_body_of_more_than_a_megabyte_is_refused_whether_or_not_its_length_is_said() -> None:
    with door() as where:
        large = b" " * 2**20 + PAYMENT
        assert asked(where, large)[0] == 413
        status, problem = asked(where, iter([large[: 2**19], large[2**19 :]]))
        assert (status, str(problem["type"])[-10:]) == (413, "/too-large")
        assert asked(where, b" " * (2**20 - len(PAYMENT)) + PAYMENT)[0] == 200
        assert asked(where, iter([PAYMENT[:5], PAYMENT[5:]]))[0] == 200
        batch = b"[" + b",".join([PAYMENT] * 1001) + b"]"
        assert asked(where, batch)[0] == 413
        assert len(where.asking.asked) == 2
        assert series(where)["alcyon_api_oversized_requests_total/"] == 2


def test_who_asks_too_often_waits_and_nobody_else_does() -> None:
    with door(Limits(requests_per_s=0.001, strangers_per_s=1_000)) as where:
        assert [asked(where)[0] for _ in range(5)][-1] == 429
        refused = where.client.post("/v1/decisions", content=PAYMENT, headers={"X-API-Key": INGEST})
        assert int(refused.headers["Retry-After"]) > 60
        assert asked(where, key=ADMIN)[0] == 200


def test_strangers_share_a_bucket_and_guessing_keys_asks_nobody() -> None:
    with door(Limits(strangers_per_s=0.001)) as where:
        assert asked(where, key="guess")[0] == 401
        assert [asked(where, key=f"guess-{i}")[0] for i in range(5)] == [429] * 5
        assert set(where.keys.asked) == {"guess"}
        with pytest.raises(InvalidStatus), watching(where, "statistics"):
            pass


def test_a_bucket_fills_again_and_no_further_than_its_burst() -> None:
    clock = [0.0]
    buckets = Buckets(lambda: clock[0])
    assert [buckets.take("a", 2) for _ in range(5)] == [0, 0, 0, 0, 0.5]
    assert buckets.take("b", 2) == 0
    clock[0] = 1.0
    assert [buckets.take("a", 2) > 0 for _ in range(3)] == [False, False, True]
    clock[0] = 1_000.0
    assert [buckets.take("a", 2) > 0 for _ in range(5)] == [False] * 4 + [True]


def test_roles_are_heeded_on_the_short_way_too() -> None:
    with door() as where:
        assert asked(where)[0] == 200
        assert asked(where, key=ADMIN)[0] == 200
        assert asked(where, key=VIEWER)[0] == 403
        assert asked(where, key="nobody's")[0] == 401
        assert where.client.post("/v1/decisions", content=PAYMENT).status_code == 401
        assert asked(where, b"[" + PAYMENT)[0] == 422


def test_where_keys_are_kept_is_away_so_nobody_is_let_in_and_told_so() -> None:
    with door() as where:
        where.keys.is_away = True
        answer = where.client.post("/v1/decisions", content=PAYMENT, headers={"X-API-Key": INGEST})
        assert (answer.status_code, answer.json()["status"]) == (503, 503)
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
        assert where.asking.asked == []


def test_a_key_is_looked_up_once_in_seconds_and_is_dead_at_once_when_revoked_here() -> None:
    with door() as where:
        assert {asked(where)[0] for _ in range(50)} == {200}
        assert where.keys.asked.count(INGEST) < 5
        done = where.client.delete(f"/v1/keys/{INGEST}", headers={"X-API-Key": ADMIN})
        assert done.status_code == 204
        assert asked(where)[0] == 401


def test_a_page_of_a_foreign_origin_may_not_act_with_its_visitors_session() -> None:
    with door() as where:
        cookie = {"Cookie": f"alcyon_session={SESSION}"}
        for origin, is_ours in (
            ("https://evil.example", False), ("null", False), (where.address, True),
            ("https://ours.example", True),
        ):  # fmt: skip
            answer = where.client.post(
                "/v1/decisions", content=PAYMENT, headers=cookie | {"Origin": origin}
            )
            assert (answer.status_code, is_ours) in ((403, False), (403, True))
            assert ("origin" in answer.json()["detail"]) is not is_ours  # else: the role
            assert can_watch(where, origin) is is_ours, origin


def can_watch(where: Door, origin: str) -> bool:
    """Whether a browser's page from there gets the feed."""
    cookie = {"Cookie": f"alcyon_session={SESSION}"}
    address = f"ws://127.0.0.1:{where.port}/v1/feeds/statistics"
    try:
        with connect(address, additional_headers=cookie, origin=Origin(origin)):
            return True
    except InvalidStatus as refused:
        return refused.response.status_code != 403


def series(where: Door) -> dict[str, float]:
    """Ours, by name and labels, as a scrape without a key reads them."""
    found = parse(where.client.get("/metrics", headers={}).text)
    return {
        f"{s.name}/" + "/".join(f"{k}={v}" for k, v in sorted(s.labels.items())): s.value
        for family in found
        for s in family.samples
        if s.name.startswith("alcyon_")
    }


def requests(found: dict[str, float], method: str, route: str, status: str) -> float:
    """How many were answered."""
    return found[f"alcyon_api_requests_total/method={method}/route={route}/status={status}"]


def test_requests_are_counted_by_route_method_and_status_from_the_start_at_0() -> None:
    with door() as where:
        first = series(where)
        assert requests(first, "POST", "/v1/decisions", "2xx") == 0
        assert requests(first, "GET", "/v1/entities/{kind}/{entity_id}", "5xx") == 0
        asked(where)
        asked(where, b"[")
        told = series(where)
        assert requests(told, "POST", "/v1/decisions", "2xx") == 1
        assert requests(told, "POST", "/v1/decisions", "4xx") == 1
        assert requests(told, "GET", "/v1/decisions", "2xx") == 0
        assert told["alcyon_api_request_seconds_bucket/le=+Inf/route=/v1/decisions"] == 2
        assert told["alcyon_api_request_seconds_count/route=/metrics"] == 1
        assert 0 < told["alcyon_api_request_seconds_sum/route=/v1/decisions"] < 30


def test_nobody_makes_new_series_by_asking_for_what_is_not_there() -> None:
    with door() as where:
        first = series(where)
        for number in range(20):
            where.client.get(f"/v1/nothing-{number}/at/all")
            where.client.request("PROPFIND", f"/v2/{number}")
            where.client.get(f"/v1/decisions/t-{number}", headers={"X-API-Key": VIEWER})
            where.client.delete("/v1/decisions")
        told = series(where)
        assert set(told) == set(first)
        assert not any("t-1" in name or "nothing-1" in name for name in told)
        assert requests(told, "GET", "/v1/decisions/{transaction_id}", "2xx") == 20
        count = sum(v for name, v in told.items() if name.startswith("alcyon_api_requests_total"))
        assert count == 81  # and the first scrape


def test_refusals_at_the_door_are_counted() -> None:
    with door(Limits(requests_per_s=0.001)) as where:
        assert series(where)["alcyon_api_rate_limited_total/"] == 0
        asked(where)
        refused = [asked(where)[0] for _ in range(5)].count(429)
        told = series(where)
        assert told["alcyon_api_rate_limited_total/"] == refused > 0
        assert requests(told, "POST", "unmatched", "4xx") == refused
        for name in ("ada", "bob", "eve"):
            body = {"name": name, "password": "guessed"}
            assert where.client.post("/v1/session", json=body).status_code == 401
        told = series(where)
        assert told["alcyon_api_refused_sign_ins_total/"] == 3
        assert not any("ada" in name for name in told)


def test_probes_and_scrapes_are_answered_while_all_other_threads_wait() -> None:
    body = {"name": "ada", "password": "guessed"}
    with door() as where, ThreadPoolExecutor(2 * THREADS) as callers:
        where.keys.answers.clear()
        try:
            for _ in range(2 * THREADS):
                callers.submit(where.client.post, "/v1/session", json=body)
            until(lambda: where.keys.waiting >= THREADS)
            for path in ("/healthz", "/readyz", "/metrics"):
                assert where.client.get(path, timeout=20).status_code == 200
            assert where.keys.waiting == THREADS, "the others wait for a thread"
        finally:
            where.keys.answers.set()


def watching(where: Door, feed: str, key: str = VIEWER) -> ClientConnection:
    """A watcher."""
    return connect(
        f"ws://127.0.0.1:{where.port}/v1/feeds/{feed}", additional_headers={"X-API-Key": key}
    )


def test_a_feed_is_for_who_may_see_it() -> None:
    with door() as where:
        for key in ("", INGEST, "nobody's"):
            with pytest.raises(InvalidStatus), watching(where, "statistics", key):
                pass
        with pytest.raises(InvalidStatus), watching(where, "secrets"):
            pass
        with watching(where, "statistics") as watcher, watching(where, "alerts") as alerts:
            until(lambda: where.feeds.watcher_count == 2)
            where.feeds.take(seen(["APPROVE", "DECLINE"], merchant_id="m"))
            where.clock_s[0] += 1
            where.feeds.tick()
            assert json.loads(watcher.recv())["actions"] == {"APPROVE": 1, "DECLINE": 1}
            alert = json.loads(alerts.recv())
            assert (alert["line"]["action"], alert["line"]["merchant_id"]) == ("DECLINE", "m")
        until(lambda: _ticked(where) == 0)


def _ticked(where: Door) -> int:
    """Watchers that are there, after one more message."""
    where.clock_s[0] += 1
    where.feeds.take(seen(["DECLINE"]))
    where.feeds.tick()
    return where.feeds.watcher_count


def test_a_slow_watcher_is_cut_off_and_the_others_are_not() -> None:
    with door() as where, watching(where, "decisions") as reads:
        slow = asleep(where)
        until(lambda: where.feeds.watcher_count == 2)
        got, many = 0, seen(["REVIEW"] * 4, merchant_id="m" * 250, category="c" * 250)
        for _ in range(6_000):
            where.clock_s[0] += 1
            where.feeds.tick()
            where.feeds.take(many)
            for _ in range(4):
                assert json.loads(reads.recv(timeout=30))["action"] == "REVIEW"
                got += 1
            if where.feeds.watcher_count == 1:
                break
        assert where.dropped == [True]
        assert where.feeds.watcher_count == 1
        assert got > 256
        slow.close()


def asleep(where: Door) -> socket.socket:
    """A watcher that reads nothing."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.connect(("127.0.0.1", where.port))
    made.sendall(
        b"GET /v1/feeds/decisions HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Version: 13\r\nX-API-Key: " + VIEWER.encode() + b"\r\n\r\n"
    )
    return made


HEAD = b"POST /v1/decisions HTTP/1.1\r\nHost: x\r\nX-API-Key: " + INGEST.encode() + b"\r\n"
SLOW = {
    "says nothing": (b"", b""),
    "never ends its head": (HEAD, b"X-A: b\r\n"),
    "never ends its body": (HEAD + b"Content-Length: 1000\r\n\r\n", b" "),
    "never ends its chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "asks once, then only breaks lines": (
        HEAD + b"Content-Length: %d\r\n\r\n" % len(PAYMENT) + PAYMENT, b"\r\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("first", "then"), SLOW.values(), ids=list(SLOW))
def test_who_sends_slowly_is_cut_off_and_others_are_answered_meanwhile(
    first: bytes, then: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Arriving, "SECONDS_MAX", 0.5)
    with door() as where, socket.create_connection(("127.0.0.1", where.port)) as slow:
        slow.sendall(first)
        until(lambda: asked(where)[0] == 200 and _is_cut_off(slow, then))
        assert asked(where)[0] == 200


def _is_cut_off(slow: socket.socket, then: bytes) -> bool:
    """Whether the connection is no more, once this was sent, too."""
    slow.settimeout(0.05)
    try:
        slow.sendall(then)
        while slow.recv(4096):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


def test_who_waits_for_us_is_not_cut_off_nor_who_comes_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Arriving, "SECONDS_MAX", 0.3)
    with door() as where:
        where.asking.takes_s = 0.8
        assert asked(where)[0] == 200
        where.asking.takes_s = 0.0
        with socket.create_connection(("127.0.0.1", where.port), timeout=30) as again:
            whole, _ = SLOW["asks once, then only breaks lines"]
            for _ in range(6):
                again.sendall(whole)
                assert again.recv(4096).startswith(b"HTTP/1.1 200")
                time.sleep(0.1)
        with watching(where, "statistics") as feed:
            until(lambda: where.feeds.watcher_count == 1)
            time.sleep(0.7)
            until(lambda: _ticked(where) == 1)
            assert json.loads(feed.recv(timeout=30))["actions"]


def test_who_floods_the_socket_is_cut_off() -> None:
    with door() as where, watching(where, "statistics") as loud:
        with pytest.raises(ConnectionClosed):
            _flood(loud)
        assert where.client.get("/healthz").status_code == 200


def _flood(loud: ClientConnection) -> None:
    for _ in range(100):
        loud.send("x" * 100_000)
        time.sleep(0.01)
