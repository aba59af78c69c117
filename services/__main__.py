"""The command line: `python -m services up|down|status`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from services import NAMES, Folder, Options, ServiceError
from services.environment import variables


def main() -> int:
    """Run one command; 0 if all is well, 1 otherwise."""
    arguments = _parser().parse_args()
    folder = Folder(arguments.folder)
    try:
        if arguments.command == "up":
            return _up(folder, arguments.only, Options(throughput=arguments.throughput))
        if arguments.command == "down":
            stopped = folder.down(arguments.only, keep=arguments.keep)
            print(f"stopped: {', '.join(stopped) or 'nothing ran'}")
            return 0
        return _status(folder)
    except ServiceError as error:
        print(f"services: {error}", file=sys.stderr)
        return 1


def _up(folder: Folder, only: list[str], options: Options) -> int:
    began = time.monotonic()
    folder.up(only, options)
    _status(folder)
    shown = folder.path / "env"
    print(f"up in {time.monotonic() - began:.1f} s; in a shell: set -a; . {shown}; set +a")
    return 0


def _status(folder: Folder) -> int:
    """Addresses without passwords; 0 only if something runs and nothing that ran here is down."""
    known = [status for status in folder.status() if status.facts]
    for status in known:
        address = next(iter(variables(status.facts).values())) if status.facts else ""
        scheme, _, place = address.rpartition("@")
        state = f"up    {status.process.pid:>7}" if status.process else "down        -"
        print(f"{status.name:<9}{state}  {place if scheme else address}  {status.log}")
    return 0 if known and all(status.process for status in known) else 1


def _names(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(NAMES)}")
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m services",
        description="Real servers for development and tests, without docker.",
    )
    parser.add_argument("command", choices=("up", "down", "status"))
    parser.add_argument(
        "--only", type=_names, default=list(NAMES), metavar=",".join(NAMES), help="not all of them"
    )
    parser.add_argument(
        "--folder", type=Path, default=Path(".services"), help="where they live (%(default)s)"
    )
    parser.add_argument(
        "--throughput", action="store_true", help="up: for benchmarks; more memory, slower start"
    )
    parser.add_argument("--keep", action="store_true", help="down: keep their data")
    return parser


if __name__ == "__main__":
    sys.exit(main())
