"""Address space that takes memory only as it is used."""

from __future__ import annotations

import mmap

import numpy as np
from numpy.typing import NDArray

from alcyon.domain.errors import SettingsError

_NO_RESERVE = 0x4000  # Linux MAP_NORESERVE, which the mmap module does not name before 3.13


def reserve(words: int) -> NDArray[np.int64]:
    """Zeroed int64[words] of address space; a page takes memory when it is first written."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE
    try:
        area = mmap.mmap(-1, words * 8, flags=flags)
        if hasattr(mmap, "MADV_HUGEPAGE"):  # state is read at random: fewer, larger pages
            area.madvise(mmap.MADV_HUGEPAGE)
    except OSError as error:
        raise SettingsError(
            f"cannot reserve {words * 8 / 2**30:.0f} GiB for state ({error.strerror}): "
            "lower ALCYON_KERNEL__STATE_BYTES_MAX"
        ) from None
    return np.frombuffer(area, np.int64)
