"""How every function of this package is compiled.

They never allocate, so Numba's reference counts are left out: atomic additions at each touch of an
array would cost more than the windows. Division follows IEEE 754. The GIL is free meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile to machine code at the first call, kept on disk for the next process."""
    return cast("F", njit(cache=True, nogil=True, error_model="numpy", _nrt=False)(function))
