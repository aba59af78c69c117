"""Webhooks: Slack's kind for people, a signed one for programs.

The signed one keeps to Standard Webhooks 1.0.0 (standardwebhooks.com): the headers `webhook-id`
(the same at each try), `webhook-timestamp` (seconds) and `webhook-signature`, which is `v1,` and
the base64 of HMAC-SHA256 over `id.timestamp.body` under the secret's bytes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx2
import msgspec

from alcyon.domain.errors import SettingsError
from alcyon.domain.office.delivery import SLACK, WEBHOOK, Parcel
from alcyon.io.alert_texts import SHOWN_MAX, alerts_of, headline, parts, rest
from alcyon.io.calling import post

SECRET_PREFIX = "whsec_"
_SECRET_BYTES_MIN, _SECRET_BYTES_MAX = 24, 64
_JSON = {"content-type": "application/json", "user-agent": "alcyon"}


@dataclass(frozen=True)
class SlackChannel:
    """Tells people in a channel of Slack, or of what takes its incoming webhooks (Mattermost …)."""

    client: httpx2.Client
    url: str = field(repr=False)
    window_ms: int
    attempts_max: int | None
    target: str = SLACK

    def send(self, parcel: Parcel) -> None:
        """One message for all alerts of the parcel."""
        post(self.client, self.url, msgspec.json.encode({"text": slack_text(parcel)}), _JSON)


@dataclass(frozen=True)
class WebhookChannel:
    """Tells a program, which can check that it is us. key: see `secret_bytes`."""

    client: httpx2.Client
    url: str = field(repr=False)
    key: bytes = field(repr=False)
    window_ms: int
    attempts_max: int | None
    target: str = WEBHOOK
    clock: Callable[[], float] = time.time

    def send(self, parcel: Parcel) -> None:
        """All messages of the parcel in one request, {messages: [{id, type, …}]}."""
        messages = [
            {"id": message.message_id, **msgspec.json.decode(message.body)}
            for message in parcel.messages
        ]
        body, at = msgspec.json.encode({"messages": messages}), int(self.clock())
        signed = {
            "webhook-id": parcel.parcel_id,
            "webhook-timestamp": str(at),
            "webhook-signature": signature(self.key, parcel.parcel_id, at, body),
        }
        post(self.client, self.url, body, _JSON | signed)


def signature(key: bytes, webhook_id: str, timestamp: int, body: bytes) -> str:
    """What `webhook-signature` holds.

    The example of the specification's own libraries:

    >>> key = secret_bytes("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    >>> signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    signed = b"%s.%d.%s" % (webhook_id.encode(), timestamp, body)
    return f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"


def secret_bytes(secret: str) -> bytes:
    """The key that `whsec_…` stands for. SettingsError: it is none."""
    try:
        if not secret.startswith(SECRET_PREFIX):
            raise ValueError
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
        if not _SECRET_BYTES_MIN <= len(key) <= _SECRET_BYTES_MAX:
            raise ValueError
    except (ValueError, binascii.Error):
        raise SettingsError(
            "delivery.webhook_secret is whsec_ and the base64 of 24 to 64 random bytes: "
            'echo "whsec_$(openssl rand -base64 32)" makes one'
        ) from None
    return key


def slack_text(parcel: Parcel) -> str:
    """In Slack's mrkdwn; what came from outside stands as code, where nothing is a link."""
    lines = [f"*{headline(parcel)}*"]
    for alert in alerts_of(parcel)[:SHOWN_MAX]:
        lines.append("• " + " · ".join(f"`{_escaped(part)}`" for part in parts(alert)))
    return "\n".join([*lines, rest(parcel)]).strip()


def _escaped(text: str) -> str:
    """As Slack asks for; a backtick would end the code."""
    plain = text.replace("`", "'")
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
