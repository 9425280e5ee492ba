"""Who may use the dashboard: this machine alone, under its own name, and whoever $SIMCLR_ALLOWED_HOSTS names.

Whoever reaches the server can start programs here, so every request and every websocket is looked at before Streamlit
sees it, whatever started the server:

- The visitor's address must be of this machine. Where a proxy tells whom it serves (X-Forwarded-For, which uvicorn
  believes from 127.0.0.1 alone unless told otherwise), the setting must name the hosts it serves them under.
- The Host must be `localhost` or an address of this machine's own loopback, so that a foreign name that points here
  does not let its pages in (DNS rebinding). X-Forwarded-Host, where a proxy sends it, is held to the same.
- The Origin, where a browser sends it, must be the page's own: not that of another site or of another port.

The setting holds, separated by commas, host names (`hub.example.org`, `*.example.org`), which may be Host and Origin,
and addresses or networks (`192.168.1.7`, `10.0.0.0/8`), which may connect and be Host as well.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import streamlit as st
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.shared import url_state

SETTING = "SIMCLR_ALLOWED_HOSTS"
NAME = r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?"
HOST = re.compile(rf"(?P<name>{NAME}\.?|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{{1,5}}))?", re.IGNORECASE | re.ASCII)
ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<host>.+)", re.IGNORECASE)
PORTS = {"http": 80, "https": 443}
OWN_PATHS = ("app", "component", "media", "static", "vendor", "healthz", "script-health-check")  # that are no pages
MAX_ASKED = 100  # letters of a page that is not there, in the address of the first one
MAX_SAID = 100  # different refusals that are written to the terminal

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _address(text: str) -> Address | None:
    """An IPv4 or IPv6 address, without zone; an IPv4 address in IPv6 dress (`::ffff:127.0.0.1`) is the IPv4 one."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _host(text: str) -> tuple[str, int | None] | None:
    """Name or address in lower case and port of a Host header; None if it is not one (with user or path, say)."""
    found = HOST.fullmatch(text)
    if found is None:
        return None
    name, port = found["name"].lower().removesuffix(".").strip("[]"), found["port"]
    return name, None if port is None else int(port)


@dataclass(frozen=True)
class Allowed:
    """Hosts besides this machine."""

    hosts: frozenset[str] = frozenset()
    parents: tuple[str, ...] = ()  # whose subdomains are allowed, with the dot in front
    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Allowed:
        """What the setting's text allows. Raises ValueError with one sentence on an entry that cannot be read."""
        hosts, parents, networks = set(), [], []
        for entry in filter(None, (part.strip().lower() for part in text.split(","))):
            try:
                networks.append(ipaddress.ip_network(entry.strip("[]"), strict=False))
                continue
            except ValueError:
                name = entry.removeprefix("*.").removesuffix(".")
            if re.fullmatch(NAME, name) is None or name.replace(".", "").isdigit():
                raise ValueError(
                    f"{SETTING}: {entry!r} is none of: host name (hub.example.org), subdomains (*.example.org), "
                    "address (192.168.1.7), network (10.0.0.0/8); without scheme, port and path, separated by commas."
                )
            if entry.startswith("*."):
                parents.append(f".{name}")
            else:
                hosts.add(name)
        return cls(frozenset(hosts), tuple(parents), tuple(networks))

    def names(self, host: str) -> bool:
        """Whether the setting names this host (in lower case) or the network of this address."""
        address = _address(host)
        is_near = address is not None and any(address in network for network in self.networks)
        return is_near or host in self.hosts or host.endswith(self.parents)

    def has(self, host: str) -> bool:
        """Whether this is this machine, as only it can be called by itself, or a host that the setting names."""
        address = _address(host)
        return host == "localhost" or (address is not None and address.is_loopback) or self.names(host)

    def has_visitor(self, scope: Scope) -> bool:
        client = scope.get("client")
        if client is None:  # a unix socket, which has a path and no port: who may open that file may come in
            server = scope.get("server")
            return server is not None and server[1] is None
        host, port = client
        address = _address(host)
        is_here = address is not None and address.is_loopback
        # No connection comes from port 0, and no browser here sends X-Forwarded-For: this is a proxy's word.
        if port == 0 or (is_here and "x-forwarded-for" in Headers(scope=scope)):
            return bool(self.hosts or self.parents) or self.names(host)
        return is_here or self.names(host)

    def refusal(self, scope: Scope) -> str | None:
        """Why a request or websocket is refused, in one sentence; None if it is let in."""
        headers = Headers(scope=scope)
        if not self.has_visitor(scope):
            who = scope["client"][0] if scope.get("client") else "an unknown address"
            return f"This dashboard answers its own machine alone, and this request comes from {who}."
        hosts = headers.getlist("host")
        own = _host(hosts[0]) if len(hosts) == 1 else None
        forwarded = [part.strip() for line in headers.getlist("x-forwarded-host") for part in line.split(",")]
        for text, host in [(", ".join(hosts), own), *((text, _host(text)) for text in forwarded)]:
            if host is None or not self.has(host[0]):
                return f"This dashboard does not answer under the name {text!a}."
        for text in headers.getlist("origin"):
            if not self.has_origin(text, own):
                return f"This dashboard does not answer to pages of {text!a}."
        return None

    def has_origin(self, text: str, own: tuple[str, int | None] | None) -> bool:
        """Whether an Origin is that of the page itself (`own`: name and port), or of a host that the setting names."""
        found = ORIGIN.fullmatch(text)
        host = _host(found["host"]) if found else None
        if found is None or host is None or own is None:
            return False
        usual = PORTS[found["scheme"].lower()]
        if host[0] == own[0] and (host[1] or usual) == (own[1] or usual):
            return True
        return self.names(host[0])  # where a proxy puts another Host in its place


def content_policy() -> str:
    """The Content-Security-Policy: everything from this server, nothing from a network, no frame around it.

    Scripts of components come as `blob:`, Streamlit's own inline scripts are allowed by their hashes, and its messages
    are read with WebAssembly. Text is never run as a script.
    """
    page = (Path(st.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    ]
    policy = {
        "default-src": ["'self'"],
        "script-src": ["'self'", "blob:", "'wasm-unsafe-eval'", *hashes],
        "style-src": ["'self'", "'unsafe-inline'"],
        "img-src": ["'self'", "data:", "blob:"],
        "font-src": ["'self'", "data:"],
        "connect-src": ["'self'", "data:", "blob:"],
        "media-src": ["'self'", "data:", "blob:"],
        "worker-src": ["'self'", "blob:"],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'self'"],
    }
    return "; ".join(" ".join([name, *sources]) for name, sources in policy.items())


def relative_to(path: str, location: str) -> str:
    """Where a request for `path/` is sent on to `path`, that address as a relative one.

    Streamlit's is absolute, and would leave the prefix that a proxy took off.
    """
    bare = path.rstrip("/")
    target, mark, query = location.partition("?")
    if target != bare or bare == path:
        return location
    return "../" * (len(path) - len(bare)) + bare.rsplit("/", 1)[-1] + mark + query


def pages() -> frozenset[str]:
    """The last parts of all pages' paths; each page is a package with a `page.py`."""
    folders = {path.parent.name.replace("_", "-") for path in Path(__file__).parent.glob("*/page.py")}
    return frozenset(folders | {"", "home"})


def instead_of(scope: Scope, known: frozenset[str]) -> str | None:
    """Where a browser is sent that asks for a page which is not there: to the first one, relative; None otherwise.

    Streamlit would show its own dialog over the first page, with words about files.
    """
    if scope["type"] != "http" or scope["method"] != "GET" or "text/html" not in Headers(scope=scope).get("accept", ""):
        return None
    base = st.get_option("server.baseUrlPath").strip("/")
    path = scope["path"].removeprefix(f"/{base}") if base else scope["path"]
    parts = path.strip("/").split("/")
    if path.strip("/") in known or parts[0] in OWN_PATHS or parts[0].startswith("_") or "." in parts[-1]:
        return None
    up = "../" * (path.count("/") - 1) or "./"
    return f"{up}?{urlencode({url_state.ASKED_PAGE: path.strip('/')[:MAX_ASKED]})}"


class Guard:
    """ASGI middleware: refuses with 403 what `Allowed` does not allow, and adds the headers to what is answered."""

    def __init__(self, app: ASGIApp, allowed: Allowed) -> None:
        self.app = app
        self.allowed = allowed
        self.said: set[str] = set()
        self.pages = pages()
        self.headers = {
            "Content-Security-Policy": content_policy(),
            "X-Frame-Options": "SAMEORIGIN",
            "X-Content-Type-Options": "nosniff",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(self.headers)
                if "location" in headers:
                    headers["location"] = relative_to(scope["path"], headers["location"])
            await send(message)

        refusal = self.allowed.refusal(scope)
        if refusal is None and (place := instead_of(scope, self.pages)) is not None:
            await RedirectResponse(place, status_code=302)(scope, receive, answer)
            return
        if refusal is None:
            await self.app(self._seen_by_streamlit(scope), receive, answer)
            return
        text = f"{refusal} Other hosts are allowed by the environment variable {SETTING}, as the README says."
        self._say(text)
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # before it is accepted: 403
        else:
            await PlainTextResponse(f"{text}\n", status_code=403)(scope, receive, answer)

    def _say(self, text: str) -> None:
        """Tells the terminal, once: whose page is let in and whose websocket is not sees a page that stays empty."""
        if text not in self.said and len(self.said) < MAX_SAID:
            self.said.add(text)
            print(text, file=sys.stderr, flush=True)

    @staticmethod
    def _seen_by_streamlit(scope: Scope) -> Scope:
        """Without a websocket's Origin, which Streamlit would judge again, asking the network who this machine is."""
        if scope["type"] != "websocket":
            return scope
        return {**scope, "headers": [(name, value) for name, value in scope["headers"] if name != b"origin"]}
