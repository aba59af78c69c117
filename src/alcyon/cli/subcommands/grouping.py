"""Groups: commands that have commands, whose modules are imported when one is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from cyclopts import App


def group(
    named: Callable[[Sequence[str]], App],
    commands: Mapping[str, tuple[str, str]],
    given: Sequence[str],
) -> App:
    """The group that a function is named and documented for. commands: each one's place
    (`module:function` in this package), and its line in the overview."""
    app = App(name=named.__name__, help=named.__doc__)
    for name, (place, line) in commands.items():
        if given[:1] == [name]:
            app.command(f"alcyon.cli.subcommands.{place}", name=name)
        else:
            app.command(f"alcyon.cli.subcommands.{place}", name=name, help=line)
    return app
