"""The command `embed`."""

from __future__ import annotations

from simclr.cli.parser import command_parser, parse


def embed(arguments: list[str]) -> int:
    from simclr.embeddings import embed as embeddings_embed

    parser = command_parser("embed")
    embeddings_embed.add_arguments(parser)
    return embeddings_embed.main(parse(parser, arguments))
