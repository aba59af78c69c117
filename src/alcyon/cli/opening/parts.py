"""The parts of the API's desk, over the store and the logs that the settings name."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from alcyon.cli.opening.desk import Parts
from alcyon.cli.opening.desk_parts import Around as PartsAround
from alcyon.cli.opening.desk_parts import open_controlling, open_explaining
from alcyon.cli.opening.duties import deliver_labels
from alcyon.cli.opening.followed import LogFolder
from alcyon.cli.opening.logs import is_embedded
from alcyon.cli.opening.offices import office
from alcyon.cli.opening.servers import database, registry, store
from alcyon.domain.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import ExitStack

    from alcyon.cli.opening.asked import Around
    from alcyon.features.catalog import Catalog
    from alcyon.io.office import SqlOffice
    from alcyon.runners.explanation.explaining import Writing
    from alcyon.runners.stream.in_force import InForce
    from alcyon.settings import Settings


def open_parts(around: Around, kept: SqlOffice | None = None) -> Parts:
    """All of them, closed with `around.files`; labels of closed cases are delivered meanwhile.

    kept: the office, closed with `around.files` too; the one that the settings name otherwise.
    SettingsError, UnreachableError: as for what is opened.
    """
    from alcyon.io.searching import StoreSearcher

    set_to, files = around.set_to, around.files
    with closing(store(set_to)):
        pass  # searching reads what is there: this makes or migrates it
    kept = files.enter_context(closing(kept or office(set_to)))
    searched = files.enter_context(closing(database(set_to)))
    searcher = StoreSearcher(
        searched, names_of(around.detector.catalog), kept.cases_of, rule_names(around.in_force)
    )
    logs = LogFolder.of(set_to) if is_embedded(set_to) else None
    over = PartsAround(
        set_to, around.detector, logs, registry(set_to), around.following, searcher,
        lambda: store(set_to), files,
    )  # fmt: skip
    deliver_labels(kept, around.controls, (around.telemetry, around.log), files)
    writing = _writing(set_to, files, around.telemetry.api.prose_calls.add)
    return Parts(
        searcher, kept, open_explaining(over, writing),
        open_controlling(over, around.controls),
    )  # fmt: skip


def names_of(catalog: Catalog) -> Callable[[str], Sequence[str] | None]:
    """A catalog's hash to the names of the model's features."""
    return lambda named: catalog.model_names if named == catalog.hash else None


def rule_names(in_force: Callable[[], InForce]) -> Callable[[], dict[str, str]]:
    """The names of the rules in force, by reason code."""
    return lambda: {rule.reason_code: rule.name for rule in in_force().conduct.rules.evaluated}


def _writing(set_to: Settings, files: ExitStack, on_asked: Callable[[str], None]) -> Writing:
    """Who puts explanations into prose. SettingsError: prose.url is at no host of prose.hosts."""
    from alcyon.runners.explanation.prose import Prose

    to = set_to.prose
    if to.url is None:
        return Prose()
    host = (urlsplit(to.url).hostname or "").lower()
    if host not in to.hosts:
        raise SettingsError(f"prose.url is at {host}, which is not among prose.hosts: add it")
    from alcyon.io.calling import client
    from alcyon.io.hosts import Outside
    from alcyon.io.language_model import LanguageModel

    caller = files.enter_context(client(Outside(to.hosts, to.may_be_private)))
    key = None if to.api_key is None else to.api_key.get_secret_value()
    model = LanguageModel(caller, to.url, to.model, key)
    return Prose(model.ask, to.timeout_s, to.budget_per_hour, on_asked=on_asked)
