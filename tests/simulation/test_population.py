import numpy as np
import pytest

from alcyon.domain.errors import InputError
from alcyon.simulation import Population
from alcyon.simulation.population import CARDS_MAX, REGULARS, REGULARS_ONLINE

DAY_MS = 86_400_000
NOW = 1_750_000_000_000


@pytest.fixture(scope="module")
def population() -> Population:
    return Population.create(5, cards=20_000)


def test_same_seed_same_people_other_seed_others(population: Population) -> None:
    again, other = Population.create(5, cards=20_000), Population.create(6, cards=20_000)
    assert (again.cards.regulars == population.cards.regulars).all()
    assert (again.merchants.cumulative == population.merchants.cumulative).all()
    assert (other.cards.last4 != population.cards.last4).mean() > 0.9


@pytest.mark.parametrize(("seed", "cards"), [(-1, 1_000), (0, 10), (0, CARDS_MAX + 1)])
def test_impossible_populations_are_refused(seed: int, cards: int) -> None:
    with pytest.raises(InputError):
        Population.create(seed, cards)


def test_spending_and_popularity_are_heavy_tailed(population: Population) -> None:
    for cumulative in (population.cards.cumulative, population.merchants.cumulative):
        share = np.sort(np.diff(cumulative, prepend=0.0))[::-1]
        top = share[: len(share) // 10].sum() / share.sum()
        assert 0.25 < top < 0.8


def test_regulars_are_where_the_card_lives_or_on_the_web(population: Population) -> None:
    shops, regulars = population.merchants, population.cards.regulars
    local = regulars[:, : REGULARS - REGULARS_ONLINE]
    assert shops.is_online[regulars[:, -REGULARS_ONLINE:]].all()
    assert not shops.is_online[local].any()
    assert (shops.place[local[:, 0]] == population.cards.places[:, 0]).all()


def test_a_phone_stays_for_long_and_is_renewed_at_last(population: Population) -> None:
    cards = np.arange(5_000)
    now = population.phones(cards, np.full(5_000, NOW))
    tomorrow = population.phones(cards, np.full(5_000, NOW + DAY_MS))
    years_later = population.phones(cards, np.full(5_000, NOW + 4_000 * DAY_MS))
    assert 0.995 < (now == tomorrow).mean() < 1.0
    assert (now == years_later).mean() == 0.0


def test_cards_of_one_customer_share_a_phone_and_a_household_a_tablet(
    population: Population,
) -> None:
    cards, at = np.arange(20_000), np.full(20_000, NOW)
    _, first = np.unique(population.cards.customer, return_index=True)
    assert 0.8 < len(first) / len(cards) < 0.97
    assert len(np.unique(population.phones(cards, at))) == len(first)
    assert len(np.unique(population.tablets(cards))) < len(first)
    household = population.cards.household
    same = population.cards.customer[1:] == population.cards.customer[:-1]
    assert (household[1:] == household[:-1])[same].all()


def test_trips_take_a_small_share_of_time_and_lead_away(population: Population) -> None:
    card = np.arange(20_000)
    away = [population.trips(card, np.full(20_000, NOW + d * DAY_MS)).is_away for d in (0, 50, 99)]
    assert all(0.01 < share.mean() < 0.12 for share in away)
    assert (away[0] & away[2]).sum() < away[0].sum()
