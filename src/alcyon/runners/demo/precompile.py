"""Makes machine code for another process to find: `python -m alcyon.runners.demo.precompile`.

The windows take longest, and whoever starts this is at them meanwhile. Here it is the rest:
decoding, expressions and scores.
"""

from __future__ import annotations

import numpy as np

from alcyon.codecs.json import TransactionDecoder, encode
from alcyon.detectors.loading import load_detector
from alcyon.domain.currency import DEFAULT_RATES
from alcyon.domain.tokens import TokenKeys
from alcyon.features.layout import Layout
from alcyon.features.program import Program
from alcyon.scoring.conduct import compiled_rules
from alcyon.scoring.model import probability_ppm_of
from alcyon.simulation import Population, Scenario, simulate

_ROWS = 4


def main() -> None:
    """Call each function once, as the worker will."""
    detector = load_detector("card")
    for stage in Layout(detector.catalog).stages:
        _run(stage.program)
    _run(compiled_rules(detector.catalog, detector.rules).program)
    some = next(simulate(Scenario(transactions=_ROWS), Population.create(1, 100)))
    decoder = TransactionDecoder(TokenKeys(1, b"0123456789abcdef"), DEFAULT_RATES)
    decoder.decode(encode(some.transactions))
    probability_ppm_of(np.zeros(_ROWS))


def _run(program: Program) -> None:
    inputs = np.zeros((len(program.inputs), _ROWS))
    program.run(inputs, np.zeros(len(program.strings)), np.empty((program.outputs, _ROWS)))


if __name__ == "__main__":
    main()
