"""`alcyon restore`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from alcyon.cli.backup import kept, ticking, told
from alcyon.cli.options import Json, settings
from alcyon.cli.talk import show_json, tell

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
    from alcyon.runners.backup import restore as put_back

    set_to = settings()
    with ticking("restore") as tick:
        manifest = put_back(kept(set_to), folder, tick)
    if as_json:
        show_json(manifest)
    tell(f"restored {folder}: {told(manifest)}")
