"""Where numba keeps what it compiles.

It asks for a folder as soon as code that it compiles is imported, and fails where it finds none: beside that code,
which may be another user's, or in a home, which some users do not have.
"""

from __future__ import annotations

import errno
import os
from importlib.util import find_spec
from pathlib import Path

from simclr.files import user_paths

SETTING = "NUMBA_CACHE_DIR"
_COMPILED = ("umap", "pynndescent", "simclr.views.compiled")


def find_folder() -> None:
    """Sets $NUMBA_CACHE_DIR where numba would find no folder by itself; to be called before such code is imported.

    Raises:
        OSError: if no folder can be written.
    """
    given = os.environ.get(SETTING)
    if given and user_paths.takes_files(Path(given)):
        return
    if not given and all(map(user_paths.takes_files, _beside_the_code())):
        return
    try:
        folder = user_paths.cache_folder() / "numba"
        if not user_paths.takes_files(folder):
            folder = user_paths.temporary_folder() / "numba"
        found = user_paths.takes_files(folder)
    except OSError:
        found = False
    if not found:
        raise OSError(
            errno.EACCES,
            f"UMAP is compiled when it is first used, and no folder can be written that would keep it; "
            f"allowed: {SETTING} set to a folder of your own",
        )
    os.environ[SETTING] = str(folder)


def _beside_the_code() -> list[Path]:
    found = [find_spec(name) for name in _COMPILED]
    return [Path(spec.origin).parent / "__pycache__" for spec in found if spec is not None and spec.origin is not None]
