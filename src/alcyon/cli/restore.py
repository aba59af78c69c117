"""`alcyon restore`"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from alcyon.cli.backup import kept, ticking, told
from alcyon.cli.opening.keepings import stores
from alcyon.cli.opening.offices import shell
from alcyon.cli.showing.options import Json, settings
from alcyon.cli.showing.talk import show_json, tell
from alcyon.domain.errors import InputError

Folder = Annotated[Path, Parameter(name="--from")]


def restore(*, folder: Folder, erasures: Path | None = None, as_json: Json = False) -> None:
    """Put a backup back into an empty home and an empty database.

    It is checked first, every byte. What was erased since it was made is erased from it again, by
    the lists in the home, in the backup, and that of --erasures. Then start alcyon run or alcyon
    serve: the worker goes on from the log where the snapshot stood, and the projections catch up.

    An example:
        alcyon restore --from backups/2026-11-28 --erasures kept-elsewhere/erasures.json

    Parameters
    ----------
    folder
        What alcyon backup --to wrote.
    erasures
        A list of erasures that is newer than the backup: a copy of erasures.json of the home.
    as_json
        Print the manifest as JSON.
    """
    from alcyon.io.erasures import read_erasures
    from alcyon.runners.care.backup import restore as put_back
    from alcyon.runners.care.erasing import again

    set_to = settings()
    if erasures is not None and not erasures.is_file():
        raise InputError(f"{erasures} is no file: name a copy of erasures.json")
    newer = read_erasures(erasures) if erasures is not None else ()
    with ticking("restore") as tick:
        manifest = put_back(kept(set_to), folder, tick, newer)
    with ExitStack() as files:
        erased = again(stores(set_to, files), shell(), lambda _: None)
    if as_json:
        show_json(manifest)
    tell(f"restored {folder}: {told(manifest)}")
    if erased:
        tell(f"{erased:,} ids of the list of erasures were in it, and are erased again")
