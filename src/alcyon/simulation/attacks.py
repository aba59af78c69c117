"""The attacks: each turns anchors (when the abuse begins) into visits of a thief, or of a victim.

An attack is a function `(stage, anchors, size) -> Rows`: `anchors` is int64[m] UTC ms, one per
episode; `size` the mean number of fraudulent transactions wanted per episode. Rows whose `attack`
is NO_KEY are genuine: the build-up of a bust-out, the visit at which a card was copied.
Thieves blend in: they pay normal amounts, spoof devices and rent addresses near the victim.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from alcyon.simulation.activity import DAY_MS, HOUR_MS, MINUTE_MS
from alcyon.simulation.identifiers import Ints, mixed
from alcyon.simulation.rows import VERIFICATION, Rows, Visits
from alcyon.simulation.stage import Stage


def card_testing(stage: Stage, anchors: Ints, size: float) -> Rows:
    """Stolen numbers are tried with small amounts at one or two merchants, then some are used."""
    rng, m = stage.rng, len(anchors)
    counts = stage.sizes(m, size * 0.75, 3)
    episode = np.repeat(np.arange(m), counts)
    n = len(episode)
    card = stage.population.draw_cards(rng, n)
    pace = np.exp(rng.normal(np.log(1.2), 0.8, m)) * MINUTE_MS
    at = anchors[episode] + (rng.random(n) * (pace * counts)[episode]).astype(np.int64)
    bots = rng.integers(0, 2**62, m)[episode]
    # A bot farm turns its fingerprint over: a few cards per device.
    bots = mixed(bots, rng.integers(0, 1_000, n) % np.maximum(1, counts[episode] // 3))
    tries = stage.thief_online(at, card, bots, CARD_TESTING)
    target = stage.population.merchants.draw(rng, np.full(2 * m, len(stage.population.places)))
    tries.merchant[:] = target.reshape(2, m)[(rng.random(n) < 0.25).astype(np.int64), episode]
    used = np.flatnonzero(rng.random(n) < 0.33)
    later = at[used] + stage.spread(len(used), 3 * HOUR_MS)
    uses = stage.thief_online(later, card[used], bots[used], CARD_TESTING)
    uses = replace(uses, factor=stage.normal_factor(len(used), 1.8, 0.6))
    rows = stage.settled(tries, uses)
    small = np.exp(rng.normal(np.log(240.0), 0.9, n)).clip(20, 3_000).astype(np.int64)
    rows.base[:n] = np.where(rng.random(n) < 0.8, small, rows.base[:n])
    rows.base[:n] = np.where(rows.kind[:n] == VERIFICATION, 100, rows.base[:n])
    return rows


def stolen_card(stage: Stage, anchors: Ints, size: float) -> Rows:
    """A spree with a stolen card: near home at the tills, or on the web."""
    counts = stage.sizes(len(anchors), size)
    episode = np.repeat(np.arange(len(anchors)), counts)
    card = stage.population.draw_cards(stage.rng, len(anchors))
    pace = np.exp(stage.rng.normal(np.log(14.0), 0.9, len(anchors))) * MINUTE_MS
    at = anchors[episode] + stage.gaps(counts, pace)
    web = (stage.rng.random(len(anchors)) < 0.4)[episode]
    thief = stage.rng.integers(0, 2**62, len(anchors))[episode]
    town = stage.population.cards.places[card, 0][episode]
    online = stage.thief_online(at[web], card[episode][web], thief[web], STOLEN_CARD)
    tills = stage.thief_at_tills(at[~web], card[episode][~web], town[~web], STOLEN_CARD)
    visit = Visits.joined([online, tills])
    return stage.settled(replace(visit, factor=stage.normal_factor(len(visit), 2.8, 0.7)))


def account_takeover(stage: Stage, anchors: Ints, size: float) -> Rows:
    """Somebody else logs in from a device the account has not seen, and buys where the owner does
    half of the time."""
    counts = stage.sizes(len(anchors), size)
    episode = np.repeat(np.arange(len(anchors)), counts)
    card = stage.population.draw_cards(stage.rng, len(anchors))[episode]
    pace = np.exp(stage.rng.normal(np.log(40.0), 1.0, len(anchors))) * MINUTE_MS
    at = anchors[episode] + stage.gaps(counts, pace)
    thief = stage.rng.integers(0, 2**62, len(anchors))[episode]
    visit = stage.thief_online(at, card, thief, ACCOUNT_TAKEOVER)
    known = stage.rng.random(len(card)) < 0.5
    slot = stage.population.cards.regulars.shape[1] - 1 - stage.rng.integers(0, 3, len(card))
    merchant = np.where(known, stage.population.cards.regulars[card, slot], visit.merchant)
    phone = stage.rng.random(len(card)) < 0.1  # malware on the owner's own phone
    return stage.settled(
        replace(
            visit,
            merchant=merchant,
            device=np.where(phone, stage.population.phones(card, at), mixed(thief, 4)),
            email=mixed(stage.population.seed, 23, stage.population.cards.customer[card]),
            factor=stage.normal_factor(len(card), 2.1, 0.7),
        )
    )


def impossible_travel(stage: Stage, anchors: Ints, size: float) -> Rows:
    """A copied card is used at tills far away while its owner pays at home."""
    counts = stage.sizes(len(anchors), size)
    episode = np.repeat(np.arange(len(anchors)), counts)
    card = stage.population.draw_cards(stage.rng, len(anchors))
    at = anchors[episode] + stage.gaps(counts, np.full(len(anchors), 30.0 * MINUTE_MS))
    far = stage.far_from(card)
    thief = stage.thief_at_tills(at, card[episode], far[episode], IMPOSSIBLE_TRAVEL)
    thief = replace(thief, factor=stage.normal_factor(len(at), 1.3, 0.6))
    home = stage.at_home(card, anchors - stage.spread(len(anchors), 45 * MINUTE_MS))
    return stage.settled(thief, home)


def compromised_merchant(stage: Stage, anchors: Ints, size: float) -> Rows:
    """Cards seen at one merchant are abused elsewhere, days later, with normal amounts."""
    rng, m = stage.rng, len(anchors)
    counts = stage.sizes(m, size / 2.0, 2)
    episode = np.repeat(np.arange(m), counts)
    n = len(episode)
    card = stage.population.draw_cards(rng, n)
    web = np.full(m, len(stage.population.places))
    leak = stage.population.merchants.draw(rng, web)[episode]
    abused = anchors[episode] + stage.within(n, 10 * HOUR_MS)
    seen = abused - (rng.uniform(1.5, 16.0, n) * DAY_MS).astype(np.int64)
    owner = stage.owner(seen, card)
    owner = replace(owner, merchant=leak, place=stage.population.cards.places[card, 0])
    uses = stage.sizes(n, 2.0)
    again = np.repeat(np.arange(n), uses)
    at = abused[again] + stage.gaps(uses, np.full(n, 50.0 * MINUTE_MS))
    buyer = rng.integers(0, 2**62, n)[again]  # numbers are sold on: every buyer is another
    thief = stage.thief_online(at, card[again], buyer, COMPROMISED_MERCHANT)
    return stage.settled(replace(thief, factor=stage.normal_factor(len(at), 1.2, 0.5)), owner)


def device_farm(stage: Stage, anchors: Ints, size: float) -> Rows:
    """One device pays with many cards within hours."""
    rng, m = stage.rng, len(anchors)
    counts = stage.sizes(m, size, 3)
    episode = np.repeat(np.arange(m), counts)
    n = len(episode)
    # Every card twice on average.
    pool = rng.integers(0, 2**62, m)
    pick = mixed(pool[episode], rng.integers(0, 1 << 30, n) % np.maximum(2, counts[episode] // 2))
    card = mixed(pick, 5).view(np.uint64) % np.uint64(len(stage.population.cards))
    at = anchors[episode] + stage.within(n, 10 * HOUR_MS)
    visit = stage.thief_online(at, card.astype(np.int64), pool[episode], DEVICE_FARM)
    return stage.settled(
        replace(visit, device=mixed(pool, 4)[episode], factor=stage.normal_factor(n, 1.1, 0.5))
    )


def bust_out(stage: Stage, anchors: Ints, size: float) -> Rows:
    """A customer builds up trust for weeks, then spends all there is and does not pay."""
    rng, m = stage.rng, len(anchors)
    card = stage.population.draw_cards(rng, m)
    before = rng.integers(6, 24, m)
    build = np.repeat(np.arange(m), before)
    days = rng.uniform(0.2, 18.0, len(build))
    owner = stage.owner(anchors[build] - (days * DAY_MS).astype(np.int64), card[build])
    counts = stage.sizes(m, size, 2)
    episode = np.repeat(np.arange(m), counts)
    spend = stage.owner(anchors[episode] + stage.gaps(counts, np.full(m, 50.0 * MINUTE_MS)),
                        card[episode])  # fmt: skip
    web = rng.random(len(episode)) < 0.6
    place = np.where(web, len(stage.population.places), spend.place)
    appealing = stage.population.merchants.draw_appealing(rng, place, tries=4)
    merchant = np.where(rng.random(len(episode)) < 0.8, appealing, spend.merchant)
    factor = stage.normal_factor(len(episode), 6.0, 0.6)
    spend = replace(spend, merchant=merchant, factor=factor)
    return stage.settled(replace(spend, attack=np.full(len(episode), BUST_OUT)), owner)


def disputed(stage: Stage, anchors: Ints, size: float) -> Rows:
    """The owner buys and later denies it: nothing distinguishes it when it happens."""
    counts = stage.sizes(len(anchors), size)
    card = np.repeat(stage.population.draw_cards(stage.rng, len(anchors)), counts)
    at = np.repeat(anchors, counts) + stage.gaps(counts, np.full(len(anchors), 8.0 * HOUR_MS))
    visit = stage.owner(at, card)
    return stage.settled(replace(visit, attack=np.full(len(card), DISPUTED)))


ATTACKS = (
    "card_testing", "stolen_card", "account_takeover", "impossible_travel",
    "compromised_merchant", "device_farm", "bust_out", "disputed",
)  # fmt: skip
"""Names as the truth and `AttackMix` use them; an attack's code is its position."""
(
    CARD_TESTING, STOLEN_CARD, ACCOUNT_TAKEOVER, IMPOSSIBLE_TRAVEL,
    COMPROMISED_MERCHANT, DEVICE_FARM, BUST_OUT, DISPUTED,
) = range(len(ATTACKS))  # fmt: skip

FIRST_PARTY = ("bust_out", "disputed")
"""Attacks by the customer itself."""

PLAYS: tuple[Callable[[Stage, Ints, float], Rows], ...] = (
    card_testing, stolen_card, account_takeover, impossible_travel,
    compromised_merchant, device_farm, bust_out, disputed,
)  # fmt: skip
SIZES = (45.0, 6.0, 3.0, 2.2, 40.0, 24.0, 7.0, 1.2)
"""Fraudulent transactions per episode, mean."""
LEADS_MS = (0, 0, 0, 6 * HOUR_MS, 17 * DAY_MS, 0, 19 * DAY_MS, 0)
"""How long before its anchor an attack's first row can be."""
