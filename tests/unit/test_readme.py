"""What README.md shows can be typed: its commands, ports and folders are the tree's."""

import re
from pathlib import Path
from typing import Any, Final

import pytest
import typer

from arenalab.local.cli.app import app
from arenalab.mesh import ports

ROOT: Final = Path(__file__).parents[2]
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE: Final = (ROOT / "Makefile").read_text(encoding="utf-8")

# Code is what stands between backticks, in a fence, or indented by four spaces.
_FENCED: Final = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_INLINE: Final = re.compile(r"`([^`\n]+)`")
_INDENTED: Final = re.compile(r"^ {4}(.+)$", re.MULTILINE)
_OUTSIDE: Final = {"Jaeger": 16686, "Prometheus": 9090}  # their own images' ports


def _code() -> list[str]:
    prose = _FENCED.sub("", README)
    lines = _INDENTED.findall(prose) + _INLINE.findall(prose)
    return [line.split(" #")[0].strip() for line in lines]


def _table(heading: str) -> list[list[str]]:
    """Returns the cells of the table under a heading, without the head of the table."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("| ").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


MADE: Final = sorted({w.split()[1] for w in _code() if re.match(r"make [a-z]", w)})
RUN: Final = sorted({w for w in _code() if re.match(r"arenalab [a-z]", w)})
COMMANDS: Final[Any] = typer.main.get_command(app)


def _subcommands(command: Any) -> dict[str, Any]:
    """Returns the commands of a group; none for a command."""
    return dict(getattr(command, "commands", {}))


@pytest.mark.parametrize("target", MADE)
def test_every_make_target_exists(target: str) -> None:
    if target.startswith("bench-"):
        names = [target] if target != "bench-NAME" else []
        own = [n for n in names if re.search(rf"^{n}: ", MAKEFILE, re.MULTILINE)]
        files = [f"{name.replace('-', '_')}.py" for name in names if name not in own]
        assert all((ROOT / "tests/bench" / file).exists() for file in files)
        target = "bench-%"
    assert re.search(rf"^{re.escape(target)}:", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("line", RUN)
def test_every_command_and_option_exists(line: str) -> None:
    command = COMMANDS
    words = line.split()[1:]
    while words and (subcommands := _subcommands(command)):
        assert words[0] in subcommands, f"no subcommand {words[0]!r}"
        command = subcommands[words.pop(0)]
    options = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options


def test_every_subcommand_is_shown() -> None:
    shown = {line.split()[1] for line in RUN}
    assert _subcommands(COMMANDS).keys() - {"demo"} <= shown  # `make demo` is that


def test_the_table_of_ports_is_the_code_s() -> None:
    shown: dict[str, int] = {}
    for row in _table("Ports"):
        shown |= {name: int(port) for name, port in (row[0:2], row[3:5]) if port.isdigit()}
    services = ("search", "planner", "predictor", "ensemble", "fallback", "ledger", "curator")
    assert shown == _OUTSIDE | {
        **{name: getattr(ports, name.upper()) for name in services},
        "gateway, HTTP": ports.GATEWAY,
        "Envoy, HTTP": ports.ENVOY_HTTP,
        "Envoy, gRPC": ports.ENVOY_GRPC,
        "local LLM": ports.LOCAL_LLM,
    }
    assert f"gRPC port + {ports.METRICS_OFFSET}" in README


def test_the_table_of_folders_is_the_tree_s() -> None:
    shown = {row[0].strip("`").removesuffix("…").rstrip("/") for row in _table("Folders")}
    assert all((ROOT / folder).is_dir() for folder in shown)
    libs = {f"libs/arenalab/{path.name}" for path in ROOT.glob("libs/arenalab/[a-z]*/")}
    assert libs <= shown


@pytest.mark.parametrize("link", re.findall(r"\]\((?!http)([^)]+)\)", README))
def test_every_link_leads_to_a_file(link: str) -> None:
    assert (ROOT / link).exists()
