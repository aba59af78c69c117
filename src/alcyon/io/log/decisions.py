"""The decisions log on disk: one commit is one frame, so it is there whole or not at all."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path

import msgspec

from alcyon.domain.commit import Commit, decode_commit, encode_commit
from alcyon.domain.errors import LogError
from alcyon.domain.ports import CommitReader, DecisionsLog
from alcyon.io.log.guard import Reign
from alcyon.io.log.reader import LogReader
from alcyon.io.log.writer import SEGMENT_BYTES_MAX, Fsync, LogWriter, TornTail


class EmbeddedCommits(CommitReader):
    """Reads the decisions log in `folder`; any number of them, while it grows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = LogReader(folder)
        self._ends = LogReader(folder)

    def bounds(self) -> tuple[int, int]:
        """(index of the first commit kept, index behind the last). Moves no reading position."""
        return self._ends.first, self._ends.seek_end()

    def last(self) -> Commit | None:
        """The newest commit, None while there is none."""
        with closing(LogReader(self._folder)) as reader:
            end = reader.seek_end()
            if end == 0:
                return None
            reader.seek(end - 1)
            return _decoded(reader.read(1)[0])

    def read(self, from_index: int, max_commits: int) -> list[Commit]:
        """Commits from number `from_index`; empty where there is none yet."""
        if from_index != self._log.position:
            self._log.seek(from_index)
        return [_decoded(entry) for entry in self._log.read(max_commits)]

    def close(self) -> None:
        """Called once, last."""
        self._log.close()
        self._ends.close()


class EmbeddedDecisions(EmbeddedCommits, DecisionsLog):
    """Writes the decisions log in `folder`; opening it takes the next epoch."""

    def __init__(
        self, folder: Path, fsync: Fsync = "always", segment_bytes_max: int = SEGMENT_BYTES_MAX
    ) -> None:
        super().__init__(folder)
        with ExitStack() as undo:
            self._reign = undo.enter_context(closing(Reign(folder, after=_last_epoch(self))))
            self._writer = LogWriter(folder, self._reign, fsync, segment_bytes_max)
            undo.callback(self._writer.close)
            self._last = (
                self.last()
            )  # only now: the predecessor may have written until it was fenced
            undo.pop_all()

    @property
    def epoch(self) -> int:
        """This writer's reign."""
        return self._reign.epoch

    @property
    def torn_tail(self) -> TornTail | None:
        """What opening had to cut off: a commit that never was."""
        return self._writer.torn_tail

    def append(self, commit: Commit) -> int:
        """Add one commit, all or nothing; return its index."""
        if commit.epoch != self.epoch or not commit.follows(self._last):
            raise LogError(
                f"the commit of epoch {commit.epoch} over records [{commit.first_position}, "
                f"{commit.position}) does not follow the last one; recover again"
            )
        index = self._writer.append([encode_commit(commit)])
        self._last = commit
        return index

    def sync(self) -> None:
        """Force appended commits to the disk, under fsync "batch"."""
        self._writer.sync()

    def drop_before(self, index: int) -> int:
        """Remove whole segments of commits before `index`; return how many."""
        return self._writer.drop_before(index)

    def close(self) -> None:
        """Called once, last; the epoch stays taken."""
        super().close()
        with closing(self._reign):
            self._writer.close()


def _decoded(entry: bytes) -> Commit:
    try:
        return decode_commit(entry)
    except msgspec.DecodeError as error:
        raise LogError(f"an entry of the decisions log is no commit: {error}") from error


def _last_epoch(commits: CommitReader) -> int:
    last = commits.last()
    return last.epoch if last else 0
