"""Writes docs/reference/*.md from the code; a test says that they are equal to it.

python docs/reference.py
"""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path
from unittest.mock import patch

from pydantic import BaseModel

from alcyon.cli import COMMANDS, GROUPS, main
from alcyon.scoring.reasons import reason_codes
from alcyon.settings import Settings

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # `deploy`

from deploy.prometheus import delays

FOLDER = Path(__file__).parent / "reference"
_MADE = "<!-- Made by docs/reference.py -->\n"
_PENDING_S = delays.EVALUATIONS * delays.EVERY_S
_ALERTS = f"""# How soon an alert comes

Prometheus evaluates the rules every {delays.EVERY_S} s, on scrapes that are 5 s apart. What a rule
can see is pending **within two evaluations**, {_PENDING_S} s. Two waits come before an alert fires,
each of them on purpose:

- **looks back.** A rule over a range sees a fault by and by, at the latest when the whole range
  lies in it. A share that need only pass a bound passes it sooner the worse the fault is: *where
  all fails* says how soon at best. Without a range it is seen at once.
- **`for`.** What a restart or a slow scrape may look like for a moment must last. Rules over a
  range that wake somebody have none: the range is patience enough.

It fires *at most* after looks back + `for` + {_PENDING_S} s, counted from when what the rule
asks for holds. The rules of the service levels look back over several ranges
([service levels](../slo.md)); here is the quickest of them. Worked out from
`deploy/prometheus/rules` by `deploy/prometheus/delays.py`; a test holds some of it against
promtool.
"""


def pages() -> dict[str, str]:
    """The pages by file name."""
    reason_head = f"{_MADE}# Reason codes\n\n| code | text | since |\n|---|---|---|\n"
    setting_head = f"{_MADE}# Settings\n\n| variable | unless set |\n|---|---|\n"
    reasons = "\n".join(f"| `{r.code}` | {r.text} | {r.since} |" for r in reason_codes())
    settings = "\n".join(_settings(Settings, "ALCYON_"))
    return {
        "alerts.md": f"{_MADE}{_ALERTS}\n{delays.page()}\n",
        "commands.md": f"{_MADE}# Commands\n\n{_commands()}",
        "reasons.md": f"{reason_head}{reasons}\n",
        "settings.md": f"{setting_head}{settings}\n",
    }


def _commands() -> str:
    """What each prints when it is asked for help."""
    parts = [f"## alcyon {name}\n{_help(name)}" for name in COMMANDS]
    for name in sorted(GROUPS):
        within = getattr(import_module(f"alcyon.cli.{name}"), name)([])
        for command in (c for c in within if not c.startswith("-")):
            parts.append(f"## alcyon {name} {command}\n{_help(name, command)}")
    return "\n".join(sorted(parts))


def _help(*command: str) -> str:
    told = StringIO()
    plain = {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"}
    with patch.dict(os.environ, plain), redirect_stdout(told):
        os.environ.pop("FORCE_COLOR", None)
        main([*command, "--help"])
    lines = [line.rstrip() for line in told.getvalue().splitlines()]
    return "```text\n" + "\n".join(lines).strip() + "\n```\n"


def _settings(section: type[BaseModel], prefix: str) -> list[str]:
    rows: list[str] = []
    for name, field in section.model_fields.items():
        variable, kind = f"{prefix}{name.upper()}", field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            rows += _settings(kind, f"{variable}__")
        else:
            # A factory's value, such as the home, is the machine's own.
            made = field.default_factory is not None
            shown = "by the platform" if made else f"`{field.default}`".replace("|", "\\|")
            rows.append(f"| `{variable}` | {shown} |")
    return rows


if __name__ == "__main__":
    for file, text in pages().items():
        (FOLDER / file).write_text(text)
