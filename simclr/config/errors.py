"""The error for bad input."""

from __future__ import annotations

import errno


class ConfigError(ValueError):
    """Bad input from a user: the message is one complete sentence per problem, ready to be shown."""


def not_written(what: str, error: OSError, setting: str = "") -> ConfigError:
    """The error for what cannot be written.

    Args:
        what: begins the sentence, up to `cannot be written`.
        setting: the environment variable that names another folder; told where this one is not the user's to write.
    """
    is_anothers = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
    remedy = f"; allowed: {setting} set to a folder of your own" if setting and is_anothers else ""
    return ConfigError(f"{what}: {error.strerror or error}{remedy}.")
