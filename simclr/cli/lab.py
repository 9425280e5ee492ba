"""The command `lab`."""

from __future__ import annotations

from simclr.cli.parser import command_parser, parse


def lab(arguments: list[str]) -> int:
    from simclr.analysis import similarity

    parser = command_parser("lab")
    similarity.add_arguments(parser)
    return similarity.main(parse(parser, arguments))
