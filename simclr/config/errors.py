"""The error for bad input."""

from __future__ import annotations

import errno
import os
import unicodedata
from pathlib import Path

from simclr.files.names import readable
from simclr.files.user_paths import with_dead_link

UNSHOWN = ("Cc", "Zl", "Zp")  # characters that end a line or steer a terminal


class ConfigError(ValueError):
    """Bad input from a user: the message is one complete sentence per problem, ready to be shown.

    What cannot be shown of the input that it names is written as in Python, as `\\x1f`.
    """

    def __init__(self, message: str) -> None:
        super().__init__("\n".join(map(_shown, message.split("\n"))))


def _shown(line: str) -> str:
    return "".join(
        sign.encode("unicode_escape").decode() if unicodedata.category(sign) in UNSHOWN else sign
        for sign in readable(line)
    )


def not_written(what: str, error: OSError, setting: str = "") -> ConfigError:
    """The error for what cannot be written.

    Args:
        what: begins the sentence, up to `cannot be written`.
        setting: the environment variable that names another folder; told where this one is not the user's to write.
    """
    is_anothers = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
    remedy = f"; allowed: {setting} set to a folder of your own" if setting and is_anothers else ""
    link = with_dead_link(Path(os.fsdecode(error.filename))) if isinstance(error.filename, str | bytes) else ""
    return ConfigError(f"{what}: {error.strerror or error}{link}{remedy}.")
