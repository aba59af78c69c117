"""The probe: one payment decided from bytes to bytes by what is in force, and told to nobody.

It is decided in the asking process, over an empty state. Nothing of it enters a log: so it is in no
window, statistic, training set or alert, and no other decision can differ because of it.
"""

from __future__ import annotations

import msgspec

from alcyon.codecs.decisions import decode
from alcyon.domain.decision import Decision
from alcyon.domain.errors import InputError
from alcyon.domain.record import Record, Topic
from alcyon.features.kernel import Kernel
from alcyon.runners.stream.deciding import Deciding, Made, Means
from alcyon.runners.stream.in_force import InForce
from alcyon.runners.stream.polled import parts

PROBE = "alcyon-doctor-probe"
"""The transaction's id, and its card's."""


def probe(kernel: Kernel, means: Means, in_force: InForce, event_time: int) -> Decision:
    """The decision on a payment of 1.00 EUR by the card `PROBE`.

    kernel: new, without history; it goes with the probe. event_time: UTC ms. InputError: no such
    payment can be decided, say why.
    """
    payload = msgspec.json.encode(
        {
            "transaction_id": PROBE,
            "event_time": event_time,
            "amount_minor": 100,
            "currency": "EUR",
            "card_id": PROBE,
        }
    )
    deciding, made = Deciding(kernel, means, in_force), Made()
    for part in parts([Record(Topic.TRANSACTIONS, 0, payload)], 0):
        deciding.decide(deciding.decode(part), made)
    for letter in made.dead_letters:
        raise InputError(f"the probe is a dead letter, {letter.reason}: {letter.detail}")
    return decode(made.decisions)[0]
