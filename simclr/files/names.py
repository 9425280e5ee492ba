"""Names of files and folders as they are written and shown.

A name on Linux is bytes. Python keeps those that are not UTF-8 as halves of characters (PEP 383), with which a file is
found again, and which no file in UTF-8, page or table takes. So they are written as the escapes that Python and a shell
know: the folder `caf`, byte E9, is `caf\\xe9`.
"""

from __future__ import annotations

import codecs
import contextlib
import re
import sys
import unicodedata
from typing import Any

# The signs that keyboards and spelling put where others have an apostrophe.
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u201b\u02bc\u02b9\u2032\u00b4\u0060", "'"))
_HALVES = re.compile("[\ud800-\udfff]")
_HANDLER = "simclr-readable"


def _escape(half: str) -> str:
    code = ord(half)
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def is_text(name: str) -> bool:
    """Whether a name can be written as it is."""
    return name.isascii() or _HALVES.search(name) is None


def readable(name: str) -> str:
    """A name with what is no text in it escaped; any other comes back as it is."""
    return name if name.isascii() else _HALVES.sub(lambda half: _escape(half[0]), name)


def folded(text: str) -> str:
    """A text as it is compared with what a user types: small letters, one kind of space and of apostrophe.

    French sets a no-break space before a question mark, and many keyboards a curved apostrophe; neither is seen. An
    accent is the same as a sign of its own and as a part of its letter.
    """
    text = text if text.isascii() else unicodedata.normalize("NFKC", text.translate(_APOSTROPHES))
    return text.replace("`", "'").lower()


def _handle(error: UnicodeError) -> tuple[str, int]:
    """For what an encoding has no sign for: a terminal's may be ASCII."""
    assert isinstance(error, UnicodeEncodeError)
    signs = error.object[error.start : error.end]
    shown = (
        readable(sign) if not is_text(sign) else sign.encode("ascii", "backslashreplace").decode() for sign in signs
    )
    return "".join(shown), error.end


codecs.register_error(_HANDLER, _handle)


def use_for_output() -> None:
    """Lets this process print any name, whatever its terminal's encoding."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            with contextlib.suppress(ValueError, OSError):  # closed
                reconfigure(errors=_HANDLER)
