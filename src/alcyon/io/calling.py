"""Calling: HTTP to hosts outside, each checked where it is and connected to there."""

from __future__ import annotations

import httpx2

from alcyon.domain.errors import UnreachableError
from alcyon.io.hosts import Outside

TIMEOUT_S = 10.0


class _Checked(httpx2.BaseTransport):
    """Sends to the address that was checked, under the name that was asked for."""

    def __init__(self, outside: Outside, below: httpx2.BaseTransport) -> None:
        self._outside, self._below = outside, below

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        target = self._outside.checked(str(request.url))
        url = request.url.copy_with(host=target.address, port=target.port)
        # The Host header was set already; the certificate must be the name's, too.
        extensions = {**request.extensions, "sni_hostname": target.host}
        sent = httpx2.Request(
            request.method, url, headers=request.headers, stream=request.stream,
            extensions=extensions,
        )  # fmt: skip
        return self._below.handle_request(sent)

    def close(self) -> None:
        self._below.close()


def client(outside: Outside, timeout_s: float = TIMEOUT_S) -> httpx2.Client:
    """A client that reaches nothing else; it follows no redirects and no proxy of the system's.

    AccessError from its requests: the host may not be asked.
    """
    below = httpx2.HTTPTransport(trust_env=False)
    return httpx2.Client(
        transport=_Checked(outside, below), timeout=timeout_s, trust_env=False,
        follow_redirects=False,
    )  # fmt: skip


def post(caller: httpx2.Client, url: str, body: bytes, headers: dict[str, str]) -> None:
    """Post it. UnreachableError unless the answer is 2xx; what it says is not read."""
    host = httpx2.URL(url).host
    try:
        with caller.stream("POST", url, content=body, headers=headers) as answer:
            status = answer.status_code
    except httpx2.HTTPError as error:
        told = str(error) or type(error).__name__
        raise UnreachableError(f"{host} does not take it: {told}") from error
    if not 200 <= status < 300:
        raise UnreachableError(f"{host} answers {status}")
