"""What can go wrong with a file, said in one line: foreign errors are translated here only."""

from __future__ import annotations

import errno
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alcyon.domain.errors import AlcyonError, InputError
from alcyon.domain.tokens import mask

_DETAIL_MAX = 300


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns what readers raise into InputError with the file's name."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except PermissionError as error:
        raise InputError(f"{path}: may not be read: check its permissions") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8: convert it first") from error
    # pyarrow's errors are ValueError, OSError or NotImplementedError.
    except (OSError, EOFError, ValueError, NotImplementedError, zlib.error) as error:
        detail = mask(" ".join(str(error).split()))[:_DETAIL_MAX] or "it ends too early"
        raise InputError(
            f"{path}: cannot be read as {path.suffix.lstrip('.')}, it is damaged or of another "
            f"format: {detail}"
        ) from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what the operating system raises into AlcyonError with the file's name."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        remedy = "choose another place"
        if error.errno == errno.ENOSPC:
            reason, remedy = "no space left on the disk", "free some or choose another place"
        raise AlcyonError(f"{path}: cannot be written, {reason}: {remedy}") from error
