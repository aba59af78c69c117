"""Alert texts: a parcel of alerts as people read it, in Slack or by e-mail."""

from __future__ import annotations

import unicodedata
from decimal import Decimal
from typing import Any

import msgspec

from alcyon.domain.currency import EXPONENTS
from alcyon.domain.office.delivery import Parcel

SHOWN_MAX = 10
_SHOWN_CHARACTERS = 64


def headline(parcel: Parcel) -> str:
    """How many there are, and of what.

    >>> from alcyon.domain.office.delivery import Message
    >>> one = Message("t", b'{"type":"alert.raised","alert":{"action":"REVIEW"}}')
    >>> headline(Parcel("p", "slack", [one, one], 1))
    '2 alerts: 2 REVIEW'
    """
    alerts = alerts_of(parcel)
    actions = sorted({str(alert.get("action")) for alert in alerts})
    counts = [f"{sum(a.get('action') == name for a in alerts)} {name}" for name in actions]
    noun = "alert" if len(alerts) == 1 else "alerts"
    return f"{len(alerts)} {noun}: {', '.join(counts)}"


def alerts_of(parcel: Parcel) -> list[dict[str, Any]]:
    """The parcel's alerts, the largest expected loss first."""
    bodies = [msgspec.json.decode(message.body) for message in parcel.messages]
    alerts = [body["alert"] for body in bodies if body.get("type") == "alert.raised"]
    return sorted(alerts, key=lambda a: -int(a.get("expected_loss_base_minor") or 0))


def parts(alert: dict[str, Any]) -> list[str]:
    """What is said of one alert; each part is one line of harmless characters."""
    said = [alert["action"], money(alert["amount_minor"], alert["currency"]), alert["reason_text"]]
    said += [
        f"{name} {alert[f'{name}_id']}" for name in ("card", "merchant") if alert[f"{name}_id"]
    ]
    return [harmless(part) for part in [*said, f"transaction {alert['transaction_id']}"]]


def money(amount_minor: int, currency: str) -> str:
    """An amount in major units.

    >>> money(123456, "EUR"), money(500, "JPY"), money(7, "KWD")
    ('1,234.56 EUR', '500 JPY', '0.007 KWD')
    """
    digits = EXPONENTS.get(currency, 2)
    return f"{Decimal(amount_minor).scaleb(-digits):,.{digits}f} {currency}"


def rest(parcel: Parcel) -> str:
    """How many are not shown one by one; empty where all are."""
    more = len(alerts_of(parcel)) - SHOWN_MAX
    return f"and {more:,} more" if more > 0 else ""


def harmless(text: str) -> str:
    """A text from outside as one short line: no control, format or private characters.

    >>> harmless("Caf\\u00e9\\r\\nBcc: x\\u202e" + "y" * 99)[:12]
    'Café Bcc: xy'
    """
    spaced = "".join(" " if c.isspace() else c for c in text)
    kept = "".join(c for c in spaced if not unicodedata.category(c).startswith("C"))
    short = " ".join(kept.split())
    return short if len(short) <= _SHOWN_CHARACTERS else f"{short[:_SHOWN_CHARACTERS]}…"
