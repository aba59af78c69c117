"""Erasing: everything about an id leaves what we write to, and what is restored later too.

The order is such that a stop at any point is made good by asking again: 1 the list  2 the control
record, by which the worker forgets  3 the projection's store  4 Redis and what was answered  5 the
office, whose audit log then says that it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Protocol

from alcyon.domain.columns import Strings
from alcyon.domain.control import (
    AddToList,
    ForgetEntity,
    RemoveFromList,
    SetRules,
    decode_control,
    encode_control,
)
from alcyon.domain.errors import InputError
from alcyon.domain.keeping import Keeping, Removal
from alcyon.domain.office.access import Caller
from alcyon.domain.ports import Intake
from alcyon.domain.record import Topic
from alcyon.domain.token_keys import TokenKeys
from alcyon.domain.tokens import tokenise_ids
from alcyon.features.transfer import id_key
from alcyon.io.erasures import Erased, entry_of, matched, read_erasures, write_erasures

VALUE_MAX = 200
"""Characters of an id."""


class Cards(Protocol):
    """What the read model is to us."""

    def cards(self) -> Iterator[str]:
        """Every card that it knows."""
        ...

    def erase(self, value: str, transaction_ids: Sequence[str], before_sequence: int) -> int:
        """Remove it; how many keys and entries."""
        ...


class Office(Protocol):
    """What the office's store is to us."""

    def card_ids(self) -> list[str]:
        """What cases are about."""
        ...

    def erase(
        self, by: Caller, value: str, transaction_ids: Sequence[str], before_sequence: int,
        digest: str, *, is_again: bool,
    ) -> int:  # fmt: skip
        """Remove it, and note that in the audit log; how many alerts in cases."""
        ...


class Answers(Protocol):
    """What was answered provisionally."""

    def forget(self, transaction_ids: Sequence[str]) -> None:
        """Remove the answers on these."""
        ...


@dataclass(frozen=True)
class Stores:
    """Where something about an id may be. None: there is no such store."""

    list_file: Path
    keeping: Keeping | None
    office: Office | None
    read_model: Cards | None
    answers: Answers | None


@dataclass(frozen=True)
class Gone:
    """What was removed."""

    digest: str
    """Under which the audit log tells of it."""
    store: Removal | None
    case_alerts: int
    read_model: int


def stored_value(given: str, keys: TokenKeys) -> str:
    """An id as the stores hold it: the token of a card number. InputError: it is no id."""
    if not 1 <= len(given) <= VALUE_MAX or given != given.strip():
        raise InputError(f"name an id of 1 to {VALUE_MAX} characters: a token, or a card number")
    return tokenise_ids(Strings.from_list([given]), keys).to_list()[0] or ""


def check_unnamed(controls: Iterable[bytes], value: str, now_ms: int) -> None:
    """InputError: a list or a rule in force names the id. controls: all there are, in order.

    To take it off a list changes what is decided, which needs a second person; to leave it there
    would keep the id in force, in every snapshot and backup. So that comes first.
    """
    if named := _naming(controls, value, now_ms):
        raise InputError(
            f"{' and '.join(named)} would go on naming it: propose the change on the console's "
            "Rules page, let another person approve it, then erase"
        )


def _naming(controls: Iterable[bytes], value: str, now_ms: int) -> list[str]:
    lists, rules = dict[tuple[str, str], int | None](), ""
    for payload in controls:
        with suppress(InputError):  # what is no control record was refused
            control = decode_control(payload)
            if isinstance(control, AddToList) and control.value == value:
                lists[control.name, control.column] = control.expires_at
            elif isinstance(control, RemoveFromList) and control.value == value:
                lists.pop((control.name, control.column), None)
            elif isinstance(control, SetRules):
                rules = control.text
    held = sorted(pair for pair, end in lists.items() if end is None or end > now_ms)
    named = [f"the list {name} ({column})" for name, column in held]
    quoted = value.replace("'", "''")
    return [*named, "a rule"] if f"'{quoted}'" in rules else named


def erase(stores: Stores, value: str, intake: Intake | None, by: Caller, now_ms: int) -> Gone:
    """Remove all that is stored by now about an id, which is as the stores hold it.

    intake: where the worker reads control records; None: nothing was ever decided. StoreError,
    UnreachableError, LogError: it is not done; ask again.
    """
    before = 0 if stores.keeping is None else stores.keeping.next_sequence()
    known = read_erasures(stores.list_file)
    entry = entry_of(value, before, now_ms, known)
    write_erasures(stores.list_file, [*known, entry])  # 1
    if intake is not None:
        intake.append(Topic.CONTROL, [encode_control(ForgetEntity(*id_key(value)))])  # 2
    return _removed(stores, value, entry, by, is_again=False)


def again(stores: Stores, by: Caller, tell: Callable[[Gone], None]) -> int:
    """Remove what the list names and some store has again, as after a restore, or after a
    projection was filled anew from topics that still hold it; how many ids that were.

    The worker is told nothing: its log holds the control record.
    """
    entries = read_erasures(stores.list_file)
    if not entries:
        return 0
    found = dict(matched(_ids(stores), entries))
    for value, entry in found.items():
        tell(_removed(stores, value, entry, by, is_again=True))
    return len(found)


def _ids(stores: Stores) -> Iterable[str]:
    return chain(
        stores.keeping.ids() if stores.keeping else (),
        stores.office.card_ids() if stores.office else (),
        stores.read_model.cards() if stores.read_model else (),
    )


def _removed(stores: Stores, value: str, entry: Erased, by: Caller, *, is_again: bool) -> Gone:
    before, removal = entry.before_sequence, None
    if stores.keeping is not None:
        removal = stores.keeping.erase(value, before)  # 3
    ids = removal.transaction_ids if removal else ()
    entries = stores.read_model.erase(value, ids, before) if stores.read_model else 0  # 4
    if stores.answers is not None:
        stores.answers.forget(ids)
    alerts = 0
    if stores.office is not None:
        alerts = stores.office.erase(by, value, ids, before, entry.digest, is_again=is_again)  # 5
    return Gone(entry.digest, removal, alerts, entries)
