"""The commit: what one batch adds to the decisions log, all of it or nothing."""

from __future__ import annotations

import msgspec


class Commit(msgspec.Struct, frozen=True):
    """One batch's results; once it is in the decisions log, its decisions exist.

    It covers the intake records at [first_position, position), which hold the sequences
    [first_sequence, next_sequence): record `first_position + k` has sequence `first_sequence + k`.
    """

    epoch: int
    """The reign of the worker that wrote it; larger from worker to worker."""
    first_sequence: int
    first_position: int
    """Position of the first record covered: the `position` of the commit before, or 0."""
    position: int
    """Where reading goes on: the position behind the last record covered."""
    decisions: tuple[bytes, ...]
    """`Decision`s as JSON, by sequence; fewer than the records covered (labels, duplicates …)."""
    dead_letters: tuple[bytes, ...] = ()
    """`DeadLetter`s as JSON, by sequence."""
    alerts: tuple[bytes, ...] = ()
    """`Alert`s as JSON, by sequence."""
    applied: dict[str, int] = {}
    """Records of each topic (`Topic` name) from the log's beginning to the end of this commit:
    the order that recovery and replay repeat where topics are separate logs."""

    @property
    def next_sequence(self) -> int:
        """The sequence of the first record behind this commit."""
        return self.first_sequence + self.position - self.first_position

    def follows(self, previous: Commit | None) -> bool:
        """Whether this commit goes on exactly where `previous` ended (None: where all begins).

        Nothing is decided twice and nothing left out as long as this holds for each pair.
        """
        if previous is None:
            return self.position >= self.first_position
        return (
            self.first_position == previous.position
            and self.first_sequence == previous.next_sequence
            and self.position >= self.first_position
            and self.epoch >= previous.epoch
        )


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Commit)


def encode_commit(commit: Commit) -> bytes:
    """The commit as MessagePack.

    >>> commit = Commit(1, 0, 0, 2, (b"{}", b"{}"), applied={"TRANSACTIONS": 2})
    >>> decode_commit(encode_commit(commit)) == commit
    True
    """
    return _encoder.encode(commit)


def decode_commit(data: bytes) -> Commit:
    """Inverse of `encode_commit`; msgspec.ValidationError or DecodeError for anything else."""
    return _decoder.decode(data)
