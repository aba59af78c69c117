"""Rate tables by version: what a projection needs to read transactions as they were decided."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from alcyon.domain.control import SetRates, decode_control
from alcyon.domain.currency import Rates
from alcyon.domain.errors import InputError, LogError
from alcyon.runners.stream.in_force import NO_RATES


class RatesByVersion:
    """The tables that control records set, looked up again where a version is new.

    payloads: all control records there are.
    """

    def __init__(self, payloads: Callable[[], Sequence[bytes]]) -> None:
        self._payloads = payloads
        self._known = {NO_RATES.version: NO_RATES}

    def of(self, version: str) -> Rates:
        """The table of that version. LogError: no control record sets it."""
        if version not in self._known:
            self._known |= {
                rates.version: rates for rates in map(_rates, self._payloads()) if rates
            }
        if version not in self._known:
            raise LogError(
                f"decisions name the rate table {version}, and no control record sets it: keep "
                "control records for ever"
            )
        return self._known[version]


def _rates(payload: bytes) -> Rates | None:
    try:
        control = decode_control(payload)
        if isinstance(control, SetRates):
            return Rates(control.version, control.base, control.micro_units)
    except (InputError, ValueError):  # it was refused then, too
        return None
    return None
