"""What is outside is asked only where it may be, at the address that was checked."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx2
import pytest
from tests.receiving import Receiver, receiver

from alcyon.domain.errors import AccessError, AlcyonError
from alcyon.io.calling import client, post
from alcyon.io.hosts import Outside


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture
def caller() -> Iterator[httpx2.Client]:
    with client(Outside(("127.0.0.1", "localhost"), may_be_private=True)) as made:
        yield made


def test_no_redirect_is_followed_to_anywhere(hook: Receiver, caller: httpx2.Client) -> None:
    with receiver() as inside:
        hook.answers, hook.location = [307], f"{inside.url}/secret"
        with pytest.raises(AlcyonError, match="answers 307"):
            post(caller, hook.url, b"", {})
        assert (len(hook.posted), inside.posted) == (1, [])
        # Were it followed, the address would be checked again all the same.
        with client(Outside(("localhost",), may_be_private=True)) as strict:
            strict.follow_redirects = True
            hook.answers = [307]
            with pytest.raises(AccessError, match=r"127\.0\.0\.1 is not among"):
                strict.post(hook.url.replace("127.0.0.1", "localhost"))
        assert inside.posted == []


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://localhost/x", "private"),
        ("https://127.0.0.1/x", "private"),
        ("https://[::1]/x", "private"),
        ("https://169.254.169.254/latest", "private"),
        ("https://0x7f000001/x", "private"),
        ("https://10.0.0.7/x", "private"),
        ("https://evil.example/x", "not among"),
        ("http://localhost/x", "in the clear"),
        ("file:///etc/passwd", "no https"),
    ],
)
def test_private_addresses_and_hosts_not_allowed_are_refused(url: str, problem: str) -> None:
    hosts = ("localhost", "127.0.0.1", "::1", "169.254.169.254", "0x7f000001", "10.0.0.7")
    with client(Outside(hosts)) as caller, pytest.raises(AlcyonError, match=problem):
        post(caller, url, b"", {})


def test_the_address_that_was_checked_is_the_one_that_is_asked(
    hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    known = socket.getaddrinfo

    def rebinding(host: str, *given: object, **named: object) -> object:
        """A name server that gives our receiver first, and somebody else's address from then on."""
        if host != "rebind.example":
            return known(host, *given, **named)  # type: ignore[arg-type]
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "127.0.0.2"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    url = hook.url.replace("127.0.0.1", "rebind.example")
    with client(Outside(("rebind.example",), may_be_private=True)) as caller:
        post(caller, url, b"", {})
    assert asked == ["rebind.example"]
    assert hook.posted[0].headers["host"].startswith("rebind.example")
