"""Places: host and port as people write them, `host:port`, an IPv6 address in brackets."""

from __future__ import annotations

from urllib.parse import urlsplit


def place_of(text: str) -> tuple[str, int]:
    """Host and port. ValueError: it is no place.

    >>> place_of("worker:9464"), place_of("[::1]:9464")
    (('worker', 9464), ('::1', 9464))
    """
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:  # a bracket is open, the port is no number or too large
        host = port = None
    is_whole = host and port and text == parts.netloc == "".join(text.split()) and "@" not in text
    if host is None or port is None or not is_whole:
        raise ValueError("is no host:port, as in worker:9464 or [::1]:9464")
    return host, port


def place_text(host: str, port: int) -> str:
    """As it is written.

    >>> place_text("worker", 9464), place_text("::1", 9464)
    ('worker:9464', '[::1]:9464')
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
