"""How every function of this package is compiled.

They never allocate, so Numba's reference counts are left out: atomic additions at each touch of an
array would cost more than the windows. Division follows IEEE 754. The GIL is free meanwhile.

Machine code is kept on disk for the next process. Numba keeps it as long as the function's own
file is the same, yet it holds the code of the functions it calls in other files too; here it is
kept as long as all of this package's files are the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.core import caching, cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

Word = Any
"""An int64 in a register: NumPy's to the type checker in one place, Python's in the next."""
Words = NDArray[np.int64]
Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Flags = NDArray[np.bool_]
Key = NDArray[np.uint64]

F = TypeVar("F", bound=Callable[..., Any])


@cache
def _package_stamp() -> bytes:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.digest()


class _PackageStamp:
    def get_source_stamp(self) -> bytes:
        return _package_stamp()


class GivenFolder(_PackageStamp, caching.UserProvidedCacheLocator):  # type: ignore[misc]
    """NUMBA_CACHE_DIR, where it is set."""


class BesideTheSource(_PackageStamp, caching.InTreeCacheLocator):  # type: ignore[misc]
    """`__pycache__`, where it can be written."""


class UserFolder(_PackageStamp, caching.UserWideCacheLocator):  # type: ignore[misc]
    """The user's cache folder."""


_LOCATORS = ",".join(f"{__name__}.{c.__name__}" for c in (GivenFolder, BesideTheSource, UserFolder))


def compiled(function: F) -> F:
    """Compile to machine code at the first call with each combination of types."""
    return _compiled(function, False)


def inlined(function: F) -> F:
    """`compiled`, and its callers hold its code instead of calling it.

    An array is handed over as seven words on the stack and a Memory as forty-two, so that on the
    way of each transaction calls would cost as much as the windows. Everywhere it would do harm:
    what is rarely run stands in the way of what is often run.
    """
    return _compiled(function, True)


def _compiled(function: F, is_inlined: bool) -> F:
    before, config.CACHE_LOCATOR_CLASSES = config.CACHE_LOCATOR_CLASSES, _LOCATORS
    try:
        dispatcher = njit(
            cache=True, nogil=True, error_model="numpy", _nrt=False, forceinline=is_inlined
        )(function)
    finally:
        config.CACHE_LOCATOR_CLASSES = before
    return cast("F", dispatcher)


@intrinsic
def fetch(typing: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line of array[index]; any index is harmless."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        words = context.make_array(signature.args[0])(context, builder, arguments[0])
        address = builder.gep(words.data, [arguments[1]])
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        # for reading, to be kept in all caches, data
        builder.call(function, [builder.bitcast(address, byte), number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate
