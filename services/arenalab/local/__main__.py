"""The command line: `arenalab`, or `python -m arenalab.local`."""

from arenalab.local.cli.app import app


def main() -> None:
    app()


if __name__ == "__main__":
    main()
