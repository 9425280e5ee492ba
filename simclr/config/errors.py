"""The error for bad input."""

from __future__ import annotations

import unicodedata

# Characters that end a line, steer a terminal, or are half of one: neither a log nor a page can show them.
UNSHOWN = ("Cc", "Cs", "Zl", "Zp")


class ConfigError(ValueError):
    """Bad input from a user: the message is one complete sentence per problem, ready to be shown.

    What cannot be shown of the input that it names is written as in Python, as `\\x1f`.
    """

    def __init__(self, message: str) -> None:
        super().__init__("\n".join(map(_shown, message.split("\n"))))


def _shown(line: str) -> str:
    return "".join(
        sign.encode("unicode_escape").decode() if unicodedata.category(sign) in UNSHOWN else sign for sign in line
    )
