"""Frames and segments: how the embedded log lies on disk.

A log is a folder of segments, each named by the position of its first entry. A segment is a run
of frames; one append is one frame:

    magic 4 | CRC of the header u32 | CRC of the payload u32 | payload bytes u32
    | entries u32 | position of the first entry u64 | payload: entry lengths u32 each, entries

Numbers are little-endian. The header has its own CRC so that a wrong length is told from a frame
whose end was never written; the position makes a missing segment visible.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from alcyon.domain.errors import LogError

MAGIC = b"\xa1LG1"
_HEADER = struct.Struct("<4sIIIIQ")
_CHECKED = struct.Struct("<IIIQ")  # the part of the header that its CRC covers
HEADER_BYTES = _HEADER.size
FRAME_BYTES_MAX = 64 * 2**20
SUFFIX = ".segment"


class Segment(NamedTuple):
    """A file of the log and the position of its first entry."""

    first: int
    path: Path


class Frame(NamedTuple):
    """A whole frame in a buffer: entries [first, end), bytes [at, stop)."""

    first: int
    end: int
    at: int
    stop: int


def segments(folder: Path) -> list[Segment]:
    """The log's segments by position; none if the folder does not exist."""
    found = [Segment(int(path.stem), path) for path in folder.glob("[0-9]" * 20 + SUFFIX)]
    return sorted(found)


def segment_at(folder: Path, first: int) -> Segment:
    """The segment whose first entry has this position, whether or not it exists."""
    return Segment(first, folder / f"{first:020d}{SUFFIX}")


def encode(first: int, entries: Sequence[bytes]) -> bytes:
    """One frame holding `entries`; LogError above `FRAME_BYTES_MAX`."""
    lengths = struct.pack(f"<{len(entries)}I", *map(len, entries))
    payload = b"".join([lengths, *entries])
    if len(payload) + HEADER_BYTES > FRAME_BYTES_MAX:
        raise LogError(
            f"{len(entries)} entries of {len(payload)} bytes in one append: "
            f"a frame holds at most {FRAME_BYTES_MAX}; append fewer at once"
        )
    checked = _CHECKED.pack(crc32(payload), len(payload), len(entries), first)
    return b"".join([MAGIC, crc32(checked).to_bytes(4, "little"), checked, payload])


def frame_bytes(buffer: bytes, at: int) -> int:
    """The whole length of the frame that starts at `at`, by its header; 0 for no valid header."""
    if at + HEADER_BYTES > len(buffer):
        return 0
    magic, header_crc, _, length, _, _ = _HEADER.unpack_from(buffer, at)
    if magic != MAGIC or crc32(buffer[at + 8 : at + HEADER_BYTES]) != header_crc:
        return 0
    return HEADER_BYTES + int(length)


def frames(buffer: bytes, position: int) -> Iterator[Frame]:
    """The whole frames from the buffer's start; ends before the first that is not.

    `position` is what the first frame must begin with; each next one goes on from there.
    """
    at, view = 0, memoryview(buffer)
    while length := frame_bytes(buffer, at):
        _, _, payload_crc, _, count, first = _HEADER.unpack_from(buffer, at)
        stop = at + length
        if stop > len(buffer) or first != position:
            return
        if crc32(view[at + HEADER_BYTES : stop]) != payload_crc:
            return
        yield Frame(first, first + count, at, stop)
        at, position = stop, first + count


def entries(buffer: bytes, frame: Frame) -> list[bytes]:
    """The entries of a whole frame, in order."""
    count, at = frame.end - frame.first, frame.at + HEADER_BYTES
    lengths = struct.unpack_from(f"<{count}I", buffer, at)
    ends = accumulate(lengths, initial=at + 4 * count)
    return [buffer[a:b] for a, b in pairwise(ends)]


def is_torn(buffer: bytes, at: int) -> bool:
    """Whether what stands at `at`, not a whole frame, is an append that was never finished.

    It is if nothing was appended behind it; otherwise it was whole once, and is corrupt. A valid
    header is believed: its frame may carry bytes that look like frames, and they are not looked at.
    """
    length = frame_bytes(buffer, at)
    search = at + (length or 1)
    while (search := buffer.find(MAGIC, search)) >= 0:
        if frame_bytes(buffer, search):
            return False
        search += 1
    return True
