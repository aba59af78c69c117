"""The key of tokens. Quick to import: the settings need it before anything else is there."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

KEY_BYTES_MIN = 16
"""A shorter key could be searched."""


@dataclass(frozen=True)
class TokenKeys:
    """The key that tokens are made with, and its version, which every token names.

    Raises ValueError for a version below 1 or a key under `KEY_BYTES_MIN` bytes.
    """

    version: int
    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if self.version < 1:
            raise ValueError("a token key's version starts at 1")
        if len(self.key) < KEY_BYTES_MIN:
            raise ValueError(f"a token key has at least {KEY_BYTES_MIN} bytes")

    def token(self, digits: str) -> str:
        """The token of a card number given as bare digits.

        >>> TokenKeys(1, b"0123456789abcdef").token("4111111111111111")[:3]
        'k1_'
        """
        return f"k{self.version}_{hmac.digest(self.key, digits.encode(), 'sha256').hex()[:32]}"
