"""The command `film`."""

from __future__ import annotations

from simclr.cli.parser import command_parser, parse


def film(arguments: list[str]) -> int:
    from simclr.embeddings import film

    parser = command_parser("film")
    film.add_arguments(parser)
    return film.main(parse(parser, arguments))
