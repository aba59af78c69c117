"""Writes docs/reference/*.md from the code; a test says that they are equal to it.

python docs/reference.py
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from alcyon.scoring.reasons import reason_codes
from alcyon.settings import Settings

FOLDER = Path(__file__).parent / "reference"
_MADE = "<!-- Made by docs/reference.py -->\n"


def pages() -> dict[str, str]:
    """The pages by file name."""
    reason_head = f"{_MADE}# Reason codes\n\n| code | text | since |\n|---|---|---|\n"
    setting_head = f"{_MADE}# Settings\n\n| variable | unless set |\n|---|---|\n"
    reasons = "\n".join(f"| `{r.code}` | {r.text} | {r.since} |" for r in reason_codes())
    settings = "\n".join(_settings(Settings, "ALCYON_"))
    return {
        "reasons.md": f"{reason_head}{reasons}\n",
        "settings.md": f"{setting_head}{settings}\n",
    }


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
