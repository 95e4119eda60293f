"""What every command shares: the home it means, its consoles, and how it fails."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final, ParamSpec, TypeVar

import typer
from rich.console import Console

from arenalab.local.home import Home, find_home
from arenalab.mesh import ConfigError, InvalidInputError, MeshError
from arenalab.proof import ProofError

P = ParamSpec("P")
R = TypeVar("R")

out: Final = Console(highlight=False, soft_wrap=True)
err: Final = Console(stderr=True, highlight=False, soft_wrap=True)

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="The home; by default ARENALAB_HOME, or the one found from here."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def home_from(given: Path | None) -> Home:
    """Returns the home that a command means.

    Raises:
        NoHomeError: There is none.
    """
    return find_home(given, os.environ, Path.cwd())


def command(function: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, R]:
    """Makes an async function a command: an expected error is one line and exit code 1.

    That includes text which is not UTF-8: it could be neither sent nor printed.
    """
    return command_failing_with(1)(function)


def command_failing_with(
    code: int,
) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Callable[P, R]]:
    """Returns `command` for one whose exit code 1 says something else than an error."""

    def decorate(function: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, R]:
        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                _check_texts(kwargs)
                return asyncio.run(function(*args, **kwargs))
            except KeyboardInterrupt as stopped:
                raise typer.Exit(130) from stopped
            except MeshError as error:
                _explain(str(error), error.reason.value if error.reason else "")
            except (ConfigError, ProofError, OSError) as error:
                _explain(str(error), "")
            raise typer.Exit(code)

        return run

    return decorate


def _check_texts(given: dict[str, Any]) -> None:
    """Raises InvalidInputError for an argument that holds bytes which are not UTF-8."""
    for name, value in given.items():
        texts: Iterable[object] = value if isinstance(value, list | tuple) else (value,)
        if any(isinstance(text, str | Path) and _is_broken(str(text)) for text in texts):
            raise InvalidInputError(f"{name.replace('_', '-')}: not UTF-8 text", field=name)


def _is_broken(text: str) -> bool:
    # Python spells bytes of an argument that are not UTF-8 as lone surrogates.
    return any("\ud800" <= character <= "\udfff" for character in text)


def _explain(message: str, reason: str) -> None:
    tail = f" [dim]({reason})[/dim]" if reason else ""
    err.print(f"[bold red]error:[/bold red] {_plain(message)}{tail}")


def _plain(text: str) -> str:
    # What the environment names, such as a home, may hold other bytes too.
    return text.encode("utf-8", "backslashreplace").decode().replace("[", r"\[")
