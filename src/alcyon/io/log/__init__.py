"""The embedded log: files in a folder, nothing to install. Read frames, writer, reader, then the
uses: intake, decisions and resolutions."""

from alcyon.io.log.decisions import EmbeddedCommits, EmbeddedDecisions
from alcyon.io.log.intake import EmbeddedIntake, EmbeddedSource
from alcyon.io.log.resolutions import EmbeddedResolutions
from alcyon.io.log.writer import SEGMENT_BYTES_MAX, Fsync, TornTail

__all__ = [
    "SEGMENT_BYTES_MAX", "EmbeddedCommits", "EmbeddedDecisions", "EmbeddedIntake",
    "EmbeddedResolutions", "EmbeddedSource", "Fsync", "TornTail",
]  # fmt: skip
