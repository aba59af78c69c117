"""Writes the dashboards anew: `python -m deploy.grafana`, at the root of the repository."""

from __future__ import annotations

import json
from pathlib import Path

from deploy.grafana import business, models, overview, worker
from deploy.grafana.board import Board

FOLDER = Path(__file__).parent / "dashboards"
BOARDS: tuple[Board, ...] = (overview.BOARD, worker.BOARD, models.BOARD, business.BOARD)


def texts() -> dict[Path, str]:
    """What each file holds."""
    return {FOLDER / f"alcyon-{board.name}.json": _text(board) for board in BOARDS}


def _text(board: Board) -> str:
    return json.dumps(board.json(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for file, text in texts().items():
        file.write_text(text)
