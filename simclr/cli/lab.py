"""The command `lab`."""

from __future__ import annotations

from simclr.cli.parser import command_parser, parse


def lab(arguments: list[str]) -> int:
    from simclr.analysis import stored

    parser = command_parser("lab")
    stored.add_arguments(parser)
    return stored.main(parse(parser, arguments))
