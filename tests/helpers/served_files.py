"""What the dashboard's own routes answer, asked without a server."""

from __future__ import annotations

import asyncio
from urllib.parse import unquote

from starlette.applications import Starlette

from dashboard.components import served


def fetched(path: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers with names in lower case, and content of an answer."""
    messages: list[dict] = []

    async def receive() -> dict:
        await asyncio.Event().wait()  # the request has no body, and the visitor stays
        return {"type": "http.disconnect"}

    async def send(message: dict) -> None:
        messages.append(message)

    scope = {"type": "http", "method": "GET", "path": unquote(path), "query_string": b"", "headers": []}
    asyncio.run(Starlette(routes=served.routes())(scope | {"root_path": ""}, receive, send))
    headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
    return messages[0]["status"], headers, b"".join(each.get("body", b"") for each in messages[1:])
