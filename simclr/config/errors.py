"""The error for bad input."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from simclr.files.names import readable
from simclr.files.user_paths import with_dead_link

TAKE_A_PLACE = "python -m simclr embed, evaluate, lab and leaks"
UNSHOWN = ("Cc", "Zl", "Zp")  # characters that end a line or steer a terminal


class ConfigError(ValueError):
    """Bad input from a user: the message is one complete sentence per problem, ready to be shown.

    What cannot be shown of the input that it names is written as in Python, as `\\x1f`.
    """

    def __init__(self, message: str) -> None:
        super().__init__("\n".join(map(_shown, message.split("\n"))))


class MissingImagesError(ConfigError):
    """A folder that is named as a data set is not there, or holds no image: it may have moved, or is not mounted."""


@contextlib.contextmanager
def images_may_have_moved(command: str = "", *, is_named: bool = False) -> Iterator[None]:
    """Has an error say how to name the place where the images of a run lie now.

    Args:
        command: that takes it; unset: those that look at a finished run, which the dashboard runs as well.
        is_named: whether a place was named already, so that nothing is to be said.
    """
    try:
        yield
    except MissingImagesError as error:
        if is_named:
            raise
        how = f": {command} --dataset FOLDER" if command else f" by --dataset FOLDER, which {TAKE_A_PLACE} take"
        raise MissingImagesError(f"{error} If the images have moved, say where they lie now{how}.") from None


def resume_command(run_id: str) -> str:
    """What a user types to resume a run."""
    return shlex.join(["python", "-m", "simclr", "resume", run_id])


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
