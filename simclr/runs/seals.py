"""Seals that prove which run folders this user has created (no torch).

A run folder may be copied or unpacked from anywhere, and its files may claim anything. So each folder is given a seal
when it is created: a keyed hash (HMAC-SHA256, RFC 2104) of its name, its inode and the options from which a shell
script is made. The key is a random number in the user's state folder, outside all run folders.

A seal stays valid after a restart, on all machines that share the user's state folder, and when the runs folder is
moved on its disk. It is not valid in a copy, in a renamed folder, or for other users.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
from pathlib import Path
from typing import Any

from simclr.files import safe_read, writing
from simclr.files.user_paths import home

SEAL = ".seal"
KEY_BYTES = 32
_keys: dict[Path, bytes] = {}


def key_path() -> Path:
    """Where the user's key is kept: `$XDG_STATE_HOME/simclr/key`, by default under `~/.local/state`."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else home() / ".local" / "state") / "simclr" / "key"


def _key(make: bool) -> bytes | None:
    path = key_path()
    if path not in _keys:
        with contextlib.suppress(FileNotFoundError):
            key = safe_read.read_bytes(path, 2 * KEY_BYTES)
            if len(key) != KEY_BYTES:
                raise OSError(f"{path} is not a key")
            _keys[path] = key
        if path not in _keys and make:
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
            try:
                with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
                    stream.write(secrets.token_bytes(KEY_BYTES))
                try:
                    os.link(beside, path)  # unless another process was faster
                except OSError:
                    if not path.exists():  # a file system without hard links
                        os.replace(beside, path)
            finally:
                beside.unlink(missing_ok=True)
            return _key(make=False)
    return _keys.get(path)


def _seal(folder: Path, options: Any, key: bytes) -> str:
    found = folder.resolve()
    what = json.dumps([found.name, found.stat().st_ino, options], sort_keys=True)
    return hmac.new(key, what.encode(errors="surrogateescape"), hashlib.sha256).hexdigest()


def put(folder: Path, options: Any = None) -> None:
    """Seals a folder as created, or allowed, by this user.

    Args:
        options: plain values that the seal covers.

    Raises:
        OSError: if the key or the seal cannot be written.
    """
    key = _key(make=True)
    assert key is not None
    with writing.replacing(folder / SEAL, sync=False) as stream:
        stream.write(_seal(folder, options, key).encode())


def holds(folder: Path, options: Any = None) -> bool:
    """Whether this user has sealed this folder, with these options."""
    try:
        key = _key(make=False)
        return key is not None and hmac.compare_digest(
            _seal(folder, options, key).encode(), safe_read.read_bytes(folder / SEAL, 200)
        )
    except (OSError, ValueError, RuntimeError):  # no home folder, or a folder that links to itself
        return False
