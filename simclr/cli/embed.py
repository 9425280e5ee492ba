"""The command `embed`."""

from __future__ import annotations

from simclr.cli.parser import command_parser, parse


def embed(arguments: list[str]) -> int:
    from simclr.embeddings import embed

    parser = command_parser("embed")
    embed.add_arguments(parser)
    return embed.main(parse(parser, arguments))
