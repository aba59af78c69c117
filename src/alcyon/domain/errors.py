"""Every error Alcyon raises on purpose.

AlcyonError                 one clear line with a remedy; the CLI prints it and exits non-zero
├── InputError              a file or record the user gave cannot be used as it is
│   └── ExpressionError     a SQL condition or expression is not understood
├── CatalogError            a feature catalog is wrong
├── SettingsError           a setting is missing, unknown or out of range
├── ModelError              a model cannot be loaded or does not fit
├── ConflictError           somebody else changed the same thing first; nothing was changed
├── AccessError             this person or program may not do it
├── SlowError               whoever watches does not read fast enough, and is cut off
├── StateError              the state does not fit its bound
├── SnapshotError           a snapshot is missing, corrupt or of another catalog
├── LogError                a log is corrupt or cannot be written
│   └── FencedError         a later worker took the log over: this one must end, and not come back
└── UnreachableError        a server cannot be reached, or refuses us: say which, and the setting
"""

from __future__ import annotations


class AlcyonError(Exception):
    """Base of all; `str()` is one line that says what is wrong and what to do."""


class InputError(AlcyonError):
    """A file or record the user gave cannot be used as it is."""


class ExpressionError(InputError):
    """A SQL condition or expression is not understood, or uses what does not exist."""


class CatalogError(AlcyonError):
    """A feature catalog is wrong: the message names the feature."""


class SettingsError(AlcyonError):
    """A setting is missing, unknown or out of range."""


class ModelError(AlcyonError):
    """A model cannot be loaded, does not fit the catalog, or gives values that are not finite."""


class ConflictError(AlcyonError):
    """Somebody else changed the same thing first: nothing was changed; look, and ask again."""


class AccessError(AlcyonError):
    """This person or program may not do it; the message says who may."""


class SlowError(AlcyonError):
    """Whoever watches does not read fast enough, and is cut off."""


class StateError(AlcyonError):
    """The state does not fit its bound; the kernel that raised it must not be used again."""


class SnapshotError(AlcyonError):
    """A snapshot is missing, corrupt or belongs to another catalog."""


class LogError(AlcyonError):
    """A log is corrupt before its end, or cannot be written."""


class FencedError(LogError):
    """A later worker took the log over: this one must end, and not come back by itself."""


class UnreachableError(AlcyonError):
    """A server cannot be reached or refuses us; the message names it and the setting to look at."""


def reason_of(error: BaseException) -> str:
    """The words of an error that is raised on purpose; the type alone of any other.

    What others put into their messages may be a payload.
    """
    return str(error) if isinstance(error, AlcyonError) else type(error).__name__
