"""What browsers fetch besides Streamlit's own files: plotly.js, and sheets of thumbnails.

The code may lie in a folder that the user cannot write, so nothing is put beside it: plotly.js is sent from where its
package has it, and sheets are kept in the user's cache.

Addresses are relative. A proxy may take a prefix off each path before it hands it on (JupyterHub's does), so that only
the browser knows the whole of it. Every page has a path of one part, so that a relative address means the same on each.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import metadata, resources
from pathlib import Path

import streamlit as st
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

from simclr.files import user_paths

FOLDER = "app/files"  # below the server's own path
_FOR_A_YEAR = {"Cache-Control": "public, immutable, max-age=31536000"}  # a name never stands for other bytes


def address(name: str) -> str:
    return f"{FOLDER}/{name}"


@lru_cache(maxsize=1)
def plotly_name() -> str:
    return f"plotly-{metadata.version('plotly')}.min.js"


def sheet_folder() -> Path:
    """Where sheets of thumbnails are kept. Raises OSError where the user has no such folder."""
    return user_paths.cache_folder() / "sheets"


def _file(name: str) -> Path:
    if name == plotly_name():
        return Path(str(resources.files("plotly") / "package_data" / "plotly.min.js"))
    return sheet_folder() / name


async def _send(request: Request) -> FileResponse:
    name = request.path_params["name"]  # one part of a path
    try:
        path = _file(name)
        is_there = not name.startswith(".") and path.is_file()
    except (OSError, ValueError):  # no such folder, a null byte
        is_there = False
    if not is_there:
        raise HTTPException(404)
    return FileResponse(path, headers=_FOR_A_YEAR)


def routes() -> list[Route]:
    base = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return [Route("/".join(["", *filter(None, [base]), FOLDER, "{name}"]), _send)]
