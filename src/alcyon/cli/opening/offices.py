"""The office and its channels, opened as the settings say."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from alcyon.domain.errors import SettingsError

if TYPE_CHECKING:
    from pydantic import SecretStr

    from alcyon.domain.office.access import Caller
    from alcyon.domain.office.delivery import Channel
    from alcyon.io.office import SqlOffice
    from alcyon.runners.demo.place import DemoPlace
    from alcyon.settings import Settings

OFFICE_FILE = "office.sqlite"
BROKER, FILES = "broker", "files"
"""Whose decisions cases are about: those of a broker, or of the logs in the home."""


def office(set_to: Settings, log: str | None = None) -> SqlOffice:
    """The office's store: schema `office` where Postgres is named, else a file in the home.

    log: what cases are about; the broker's decisions where one is named, else the home's.

    SettingsError: the extra is missing. UnreachableError: it does not answer.
    """
    try:
        from alcyon.io.office import Place, SqlOffice
        from alcyon.io.office.terms import OfficeTerms
    except ImportError as error:
        raise SettingsError("that needs an extra: install alcyon[api]") from error
    from alcyon.domain.office.delivery import RESOLUTIONS, WEBHOOK

    minutes = set_to.office.review_deadline_minutes
    alert_targets = told_of_alerts(set_to)
    terms = OfficeTerms(
        None if minutes is None else minutes * 60_000,
        set_to.office.deadline_action,
        alert_targets,
        (RESOLUTIONS, WEBHOOK) if WEBHOOK in alert_targets else (RESOLUTIONS,),
    )
    log = log or (FILES if set_to.kafka.bootstrap is None else BROKER)
    if set_to.postgres.dsn is not None:
        place = Place(dsn=set_to.postgres.dsn.get_secret_value(), log=log)
    else:
        place = Place(set_to.home / OFFICE_FILE, log=log)
    return SqlOffice(place, terms)


def demo_log(place: DemoPlace) -> str:
    """Whose decisions the demo's cases are about: one that was made anew has none of the old.

    Accounts and keys are the home's own, so that a key made before the demo is known to it.
    """
    return f"demo-{place.recipe.stat().st_mtime_ns:x}"


@contextmanager
def opened(set_to: Settings) -> Iterator[SqlOffice]:
    """The office, for one command."""
    with closing(office(set_to)) as made:
        yield made


def may_exist(set_to: Settings) -> bool:
    """False: there is certainly no office yet."""
    return set_to.postgres.dsn is not None or (set_to.home / OFFICE_FILE).exists()


def has_approvers(set_to: Settings) -> bool:
    """Whether somebody has an account by which changes are approved, be it disabled by now.

    Then nobody changes alone what decides. An office is not made for the question. SettingsError,
    UnreachableError: as for `office`; nothing may be taken for approved.
    """
    from alcyon.domain.office.access import Role

    if not may_exist(set_to):
        return False
    with opened(set_to) as kept:
        return any(user.role.may(Role.LEAD) for user in kept.users())


def shell() -> Caller:
    """Who works on the command line: whoever may read the store's secrets."""
    from alcyon.domain.office.access import operator

    return operator(getpass.getuser())


def told_of_alerts(set_to: Settings) -> tuple[str, ...]:
    """The channels that are set."""
    from alcyon.domain.office.delivery import MAIL, SLACK, WEBHOOK

    to = set_to.delivery
    named = ((SLACK, to.slack_url), (WEBHOOK, to.webhook_url), (MAIL, to.smtp_url))
    return tuple(target for target, url in named if url is not None)


def channels(set_to: Settings, files: ExitStack) -> list[Channel]:
    """The channels outside, closed with `files`. SettingsError: a URL or secret is none, or its
    host is not among delivery.hosts."""
    from alcyon.io.calling import client
    from alcyon.io.hosts import Outside
    from alcyon.io.mail import MailChannel, Relay
    from alcyon.io.webhooks import SlackChannel, WebhookChannel, secret_bytes

    to, made = set_to.delivery, list["Channel"]()
    pace = (round(to.window_s * 1000), to.attempts_max)
    caller = files.enter_context(client(Outside(to.hosts, to.may_be_private)))
    if to.slack_url is not None:
        made.append(SlackChannel(caller, _url("slack_url", to.slack_url, to.hosts), *pace))
    if to.webhook_url is not None and to.webhook_secret is not None:
        key = secret_bytes(to.webhook_secret.get_secret_value())
        made.append(
            WebhookChannel(caller, _url("webhook_url", to.webhook_url, to.hosts), key, *pace)
        )
    if to.smtp_url is not None and to.mail_from is not None:
        relay = Relay.of(to.smtp_url.get_secret_value())
        made.append(MailChannel(relay, to.mail_from, to.mail_to, *pace))
    return made


def resolutions_channel(set_to: Settings, files: ExitStack) -> Channel:
    """The channel into the broker's topic, or the log `resolutions` in the home, closed with
    `files`; by one process at a time. LogError: another one has it."""
    from alcyon.domain.office.delivery import RESOLUTIONS
    from alcyon.runners.serving.delivering import Appending

    return Appending(RESOLUTIONS, _append_resolutions(set_to, files))


def _append_resolutions(set_to: Settings, files: ExitStack) -> Callable[[Sequence[bytes]], None]:
    if set_to.kafka.bootstrap is None:
        from alcyon.io.log import EmbeddedResolutions

        folder = set_to.home / "resolutions"
        return files.enter_context(closing(EmbeddedResolutions(folder, set_to.log.fsync))).append
    from alcyon.cli.opening.servers import connection
    from alcyon.io.kafka import KafkaResolutions

    topic = KafkaResolutions(connection(set_to), set_to.kafka.resolutions)
    return files.enter_context(closing(topic)).append


def _url(name: str, secret: SecretStr, hosts: tuple[str, ...]) -> str:
    url = secret.get_secret_value()
    host = (urlsplit(url).hostname or "").lower()
    if host not in hosts:
        raise SettingsError(
            f"delivery.{name} is at {host or 'no host'}, which is not among delivery.hosts: add it"
        )
    return url
