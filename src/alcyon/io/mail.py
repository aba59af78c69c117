"""Mail: alerts by SMTP."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate
from urllib.parse import unquote, urlsplit

from alcyon.domain.errors import SettingsError, UnreachableError
from alcyon.domain.office.delivery import MAIL, Parcel
from alcyon.io.alert_texts import SHOWN_MAX, alerts_of, headline, parts, rest

TIMEOUT_S = 10.0
_PORTS = {"smtp": 587, "smtps": 465}


@dataclass(frozen=True)
class Relay:
    """A mail server: `smtp://` begins in the clear and goes on in TLS where the server can,
    `smtps://` is TLS from the start. A password is told in TLS only."""

    host: str
    port: int
    is_tls: bool
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, url: str) -> Relay:
        """From `smtp://user:password@host:port`. SettingsError: it is none."""
        try:
            parts = urlsplit(url)
            scheme, port = parts.scheme, parts.port or _PORTS[parts.scheme]
        except (ValueError, KeyError):
            scheme, port, parts = "", 0, urlsplit("")
        if not scheme or not parts.hostname:
            raise SettingsError(
                "delivery.smtp_url is not of the form smtps://user:password@host:port (or smtp://)"
            )
        user = unquote(parts.username) if parts.username else None
        password = unquote(parts.password) if parts.password else None
        return cls(parts.hostname, port, scheme == "smtps", user, password)


@dataclass(frozen=True)
class MailChannel:
    """Tells people by e-mail."""

    relay: Relay
    sender: str
    receivers: Sequence[str]
    window_ms: int
    attempts_max: int | None
    target: str = MAIL

    def send(self, parcel: Parcel) -> None:
        """One message for all alerts of the parcel, under the same Message-ID at each try."""
        message = composed(parcel, self.sender, self.receivers)
        relay = self.relay
        try:
            with _connected(relay) as server:
                refused = server.send_message(message)
        except (smtplib.SMTPException, OSError) as error:
            told = " ".join(str(error).split())
            raise UnreachableError(
                f"the mail server {relay.host} does not take it: {told}"
            ) from error
        if refused:
            raise UnreachableError(f"the mail server {relay.host} refuses {', '.join(refused)}")


def composed(parcel: Parcel, sender: str, receivers: Sequence[str]) -> EmailMessage:
    """Plain text: nothing in it is a link or a header, whatever a merchant is called."""
    message = EmailMessage()
    message["From"], message["To"] = sender, ", ".join(receivers)
    message["Subject"] = f"Alcyon: {headline(parcel)}"
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{parcel.parcel_id}@alcyon>"
    message["Auto-Submitted"] = "auto-generated"
    lines = [" · ".join(parts(alert)) for alert in alerts_of(parcel)[:SHOWN_MAX]]
    message.set_content("\n".join([*lines, rest(parcel)]).strip() + "\n")
    return message


def _connected(relay: Relay) -> smtplib.SMTP:
    context = ssl.create_default_context()
    if relay.is_tls:
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            relay.host, relay.port, timeout=TIMEOUT_S, context=context
        )
    else:
        server = smtplib.SMTP(relay.host, relay.port, timeout=TIMEOUT_S)
    try:
        server.ehlo()
        if not relay.is_tls and server.has_extn("starttls"):
            server.starttls(context=context)
            server.ehlo()
        elif not relay.is_tls and relay.user is not None:
            raise smtplib.SMTPException("it offers no TLS, and the password is not told without")
        if relay.user is not None:
            server.login(relay.user, relay.password or "")
    except BaseException:
        with suppress(smtplib.SMTPException, OSError):
            server.close()
        raise
    return server
