"""The analytics app: where fraud is, over hours to months; `alcyon analytics` runs it."""

from pathlib import Path


def app_file() -> Path:
    """What Streamlit runs."""
    return Path(__file__).parent / "app.py"
