"""`alcyon analytics`"""

from __future__ import annotations

import os
import socket
from importlib.util import find_spec
from typing import Annotated

from alcyon.cli.opening.servers import STORE_FILE
from alcyon.cli.showing.options import Flag, Port, settings
from alcyon.domain.errors import InputError, SettingsError

PORT = 8501
HOST = "127.0.0.1"


def analytics(
    *,
    port: Annotated[int, Port] = PORT,
    host: str = HOST,
    no_browser: Flag = False,
) -> None:
    """See where fraud is: countries, cards, merchants, devices, trends.

    Reads the store that the settings name, SQLite or Postgres, while it is filled; nothing is
    written. Needs alcyon[analytics].

    An example:
        alcyon analytics --port 8502

    Parameters
    ----------
    port
        Where to listen.
    host
        On this machine only, unless another address is given: it asks nobody who they are.
    no_browser
        Do not open it.
    """
    set_to = settings()
    if find_spec("streamlit") is None:
        raise SettingsError("alcyon analytics needs an extra: install alcyon[analytics]")
    _check(host, port)
    from streamlit.web import cli

    from alcyon.analytics import app_file

    dsn = set_to.postgres.dsn
    # Not as an argument: whoever lists processes would read the password.
    os.environ["ALCYON_ANALYTICS_STORE"] = (
        str(set_to.home / STORE_FILE) if dsn is None else dsn.get_secret_value()
    )
    options = {
        "server.address": host,
        "server.port": port,
        "server.headless": str(no_browser).lower(),
        "server.showEmailPrompt": "false",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "runner.magicEnabled": "false",
        "client.toolbarMode": "minimal",
    }
    given = [f"--{name}={value}" for name, value in options.items()]
    cli.main(["run", str(app_file()), *given], standalone_mode=False)


def _check(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise InputError(
                f"{host}:{port} cannot be used ({error}): give another --port"
            ) from error
