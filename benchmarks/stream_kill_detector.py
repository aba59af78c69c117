"""The detector of the stream's kill loop: the card detector's, and labels that count at once.

The card detector looks at labels a week late, which no run is long enough to see.
"""

from pathlib import Path

import alcyon.detectors.card as card_detector
from alcyon.domain.decision import Action
from alcyon.features import Catalog, Count, Mean, Sum
from alcyon.scoring.policy import Policy

card, merchant, device = card_detector.card, card_detector.merchant, card_detector.device

catalog = Catalog(
    [
        *card_detector.catalog.features,
        Sum(card, "is_fraud", "30d"),
        Mean(card, "is_fraud", "7d", exclude_current=True),
        Mean(merchant, "is_fraud", "7d"),
        Sum(merchant, "is_fraud", "1h"),
        Sum(device, "is_fraud", "7d"),
        Count(card, "30d", exclude_current=True),
    ],
    lateness_max=card_detector.catalog.lateness_max,
)
VELOCITY = "card_count_10m >= 8 OR card_count_1h >= 20"
rules = (
    Path(card_detector.__file__)
    .with_name("card_rules.toml")
    .read_text()
    .replace(VELOCITY, "card_count_10m >= 300 OR card_count_1h >= 1500")
    .replace("card_small_amounts_1h >= 5", "card_small_amounts_1h >= 300")
)
"""A month of habits goes by in minutes: what is much for a card is much more here."""
policy = Policy(fallback_action=Action.APPROVE)
"""No model decides here: what no rule stops is approved, so that alerts are some and not all."""
