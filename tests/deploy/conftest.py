"""What tests of deployed files share: processes of ours, in a home of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.run_process import of_broker, start

__all__ = ["home", "of_broker", "start"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Of every process of one test."""
    return tmp_path / "home"
