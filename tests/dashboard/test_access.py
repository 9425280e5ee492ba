"""Who gets into the dashboard: this machine under its own name, and whom the setting names; by real servers."""

import asyncio
import contextlib
import http.client
import os
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import psutil
import pytest
from chromium import wait_until_served
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from dashboard.access import SETTING, Allowed, Guard, instead_of, pages, relative_to

ROOT = Path(__file__).resolve().parents[2]
APP = ROOT / "dashboard" / "app.py"
STREAM = "/_stcore/stream"
NAMED = "hub.example.org, *.lab.example, 10.1.0.0/16, fd00::7"


# --- the rules, with made requests ------------------------------------------------------------------------------------


def scope(host="localhost:8501", client=("127.0.0.1", 5000), server=("127.0.0.1", 8501), kind="http", **headers):
    lines = [] if host is None else [(b"host", host.encode("latin-1"))]
    lines += [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": kind, "method": "GET", "path": "/", "headers": lines, "client": client, "server": server}


def is_let_in(allowed="", **request):
    return Allowed.parse(allowed).refusal(scope(**request)) is None


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8501",
        "localhost.",
        "localhost.:80",
        "127.0.0.1:8501",
        "127.8.9.1",
        "[::1]",
        "[::1]:8501",
        "[::ffff:127.0.0.1]:80",
    ],
)
def test_this_machines_own_names_are_answered(host):
    assert is_let_in(host=host)


@pytest.mark.parametrize(
    "host",
    [None, "", "evil.example", "evil.example:8501", "localhost.evil.example", "evil.localhost", "localhost..",
     "user@localhost", "localhost@evil.example", "localhost:8501@evil.example", "localhost:", "localhost:x",
     "localhost:123456", "localhost/", "localhost?x", "localhost#x", "http://localhost", "localhost, evil.example",
     " localhost", "local\thost", "lócalhost", "0.0.0.0:8501", "192.168.1.2", "127.1", "2130706433", "0x7f.0.0.1",
     "::1", "[::1", "[::2]", "[localhost]", "[::1].evil.example"],
)  # fmt: skip
def test_foreign_and_odd_names_are_refused(host):
    assert not is_let_in(host=host)


def test_a_host_sent_twice_is_refused():
    request = scope()
    request["headers"].append((b"host", b"evil.example"))
    assert Allowed().refusal(request)
    request["headers"][1] = (b"host", b"localhost:8501")
    assert Allowed().refusal(request)


@pytest.mark.parametrize(
    ("client", "server", "expected"),
    [
        (("127.0.0.1", 5000), ("127.0.0.1", 8501), True),
        (("127.3.2.1", 5000), ("127.0.0.1", 8501), True),
        (("::1", 5000), ("::1", 8501), True),
        (("::ffff:127.0.0.1", 5000), ("::ffff:127.0.0.1", 8501), True),
        (None, ("/run/dashboard.sock", None), True),  # a unix socket
        (None, ("0.0.0.0", 8501), False),  # a connection that is gone before it was looked at
        (None, None, False),
        (("192.0.2.7", 5000), ("192.0.2.2", 8501), False),
        (("10.1.2.3", 5000), ("0.0.0.0", 8501), False),
        (("::ffff:192.0.2.7", 5000), ("::", 8501), False),
        (("fe80::1%eth0", 5000), ("::", 8501), False),
        (("testclient", 50000), ("testserver", 80), False),
        (("192.0.2.7", 0), ("127.0.0.1", 8501), False),  # a proxy told it
        (("127.0.0.1", 0), ("127.0.0.1", 8501), False),  # a proxy told it, or whoever is behind it
    ],
)
def test_visitors_must_be_on_this_machine(client, server, expected):
    assert is_let_in(client=client, server=server) == expected


@pytest.mark.parametrize(
    ("host", "origin", "expected"),
    [
        ("localhost:8501", "http://localhost:8501", True),
        ("LocalHost.:8501", "http://localhost:8501", True),
        ("[::1]:8501", "http://[::1]:8501", True),
        ("localhost", "http://localhost", True),
        ("localhost:80", "http://localhost", True),
        ("localhost:443", "https://localhost", True),
        ("localhost:8501", "http://localhost:3000", False),  # a page of another program on this machine
        ("localhost:8501", "http://localhost", False),
        ("localhost:8501", "http://127.0.0.1:8501", False),
        ("localhost:8501", "http://evil.example", False),
        ("localhost:8501", "http://localhost:8501.evil.example", False),
        ("localhost:8501", "http://localhost:8501@evil.example", False),
        ("localhost:8501", "http://localhost:8501/", False),
        ("localhost:8501", "null", False),
        ("localhost:8501", "", False),
        ("localhost:8501", "file://", False),
        ("localhost:8501", "chrome-extension://localhost:8501", False),
    ],
)
def test_a_page_must_be_the_dashboards_own(host, origin, expected):
    assert is_let_in(host=host, origin=origin) == expected
    assert is_let_in(host=host, origin=origin, kind="websocket") == expected


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"host": "hub.example.org"}, True),
        ({"host": "HUB.example.org.:443"}, True),
        ({"host": "www.hub.example.org"}, False),
        ({"host": "a.b.lab.example"}, True),
        ({"host": "lab.example"}, False),
        ({"host": "evillab.example"}, False),
        ({"host": "10.1.2.3:8501", "client": ("10.1.9.9", 5000)}, True),
        ({"host": "[fd00::7]:8501", "client": ("fd00::7", 5000)}, True),
        ({"client": ("::ffff:10.1.9.9", 5000)}, True),
        ({"client": ("10.2.0.1", 5000)}, False),
        ({"host": "10.2.0.1"}, False),
        ({"host": "hub.example.org", "client": ("203.0.113.5", 0)}, True),  # told by a proxy on this machine
        ({"host": "hub.example.org", "client": ("203.0.113.5", 5000)}, False),
        ({"host": "evil.example", "client": ("203.0.113.5", 0)}, False),
        ({"host": "hub.example.org", "x_forwarded_for": "203.0.113.5"}, True),
        ({"host": "hub.example.org", "origin": "https://hub.example.org"}, True),
        ({"host": "localhost:8501", "origin": "https://hub.example.org"}, True),  # the proxy writes its own Host
        ({"host": "hub.example.org", "origin": "https://evil.example"}, False),
        ({"host": "hub.example.org", "origin": "http://localhost:3000"}, False),
        ({"host": "localhost:8501", "x_forwarded_host": "hub.example.org"}, True),
        ({"host": "localhost:8501", "x_forwarded_host": "hub.example.org, evil.example"}, False),
        ({"host": "localhost:8501", "x_forwarded_host": "evil.example"}, False),
    ],
)
def test_the_setting_names_other_hosts(request_, expected):
    assert is_let_in(NAMED, **request_) == expected
    if request_.keys() - {"origin", "x_forwarded_host"} and expected:
        assert not is_let_in("", **request_)


def test_what_a_proxy_tells_counts_only_where_its_hosts_are_named():
    told = {"client": ("127.0.0.1", 80), "x_forwarded_for": "127.0.0.1:80"}  # as uvicorn hands it on, port and all
    for allowed, expected in (("", False), ("10.1.0.0/16", False), ("hub.example.org", True), ("*.lab.example", True)):
        assert is_let_in(allowed, **told) == expected
        assert is_let_in(allowed, client=("203.0.113.5", 0), x_forwarded_for="203.0.113.5") == expected
        assert not is_let_in(allowed, client=("203.0.113.5", 80), x_forwarded_for="203.0.113.5:80")
    assert is_let_in("10.1.0.0/16", client=("10.1.2.3", 0), x_forwarded_for="10.1.2.3")


@pytest.mark.parametrize(
    "entry", ["https://hub.example.org", "hub:8443", "*", "a b", "hub/x", "1.2.3.4/99", "300.1.1.1", "x@y", "*.*.org"]
)
def test_an_entry_that_cannot_be_read_is_one_sentence(entry):
    with pytest.raises(ValueError, match=SETTING) as caught:
        Allowed.parse(f"good.example, {entry}")
    assert repr(entry) in str(caught.value) and "network (10.0.0.0/8)" in str(caught.value)


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_nothing_refused_reaches_the_app(kind):
    """Neither kind; and what is let in keeps its headers, but for an Origin that was judged."""
    seen, sent = [], []

    async def app(scope, _receive, _send):
        seen.append(scope)

    async def send(message):
        sent.append(message)

    guard = Guard(app, allowed=Allowed())
    for request in (scope(kind=kind, client=("192.0.2.7", 9)), scope(kind=kind, host="evil.example")):
        asyncio.run(guard(request, None, send))
        assert not seen
        assert sent[0].get("status", 403) == 403 and sent[0]["type"] in ("http.response.start", "websocket.close")
        sent.clear()
    asyncio.run(guard(scope(kind=kind, origin="http://localhost:8501"), None, send))
    assert [name for name, _ in seen[0]["headers"]] == ([b"host", b"origin"] if kind == "http" else [b"host"])


def test_a_refused_websocket_is_said_in_the_terminal_once(capsys):
    """Where a proxy changes the Host and leaves the Origin, the page is let in, and then stays empty."""

    async def send(message):
        assert message["type"] == "websocket.close"

    guard = Guard(None, allowed=Allowed())
    for _ in range(3):
        asyncio.run(guard(scope(kind="websocket", origin="https://hub.example.org"), None, send))
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "'https://hub.example.org'" in said and SETTING in said


@pytest.mark.parametrize(
    ("path", "location", "relative"),
    [
        ("/curves/", "/curves?runs=a", "../curves?runs=a"),
        ("/x/y/curves//", "/x/y/curves", "../../curves"),
        ("/x/y", "/x/y/", "/x/y/"),
        ("/", "/", "/"),
        ("/curves/", "https://elsewhere/", "https://elsewhere/"),
    ],
)
def test_a_page_is_sent_on_without_its_slash_by_a_relative_address(path, location, relative):
    assert relative_to(path, location) == relative


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/", None),
        ("/new-run", None),
        ("/run/", None),
        ("/home", None),
        ("/_stcore/health", None),
        ("/app/static/icon.png", None),
        ("/nope.png", None),
        ("/nope", "./?asked-page=nope"),
        ("/nope/", "../?asked-page=nope"),
        ("/curves/more", "../?asked-page=curves%2Fmore"),
        ("/<b>&x", "./?asked-page=%3Cb%3E%26x"),
    ],
)
def test_a_page_that_is_not_there_leads_to_the_first_one(path, place):
    asked = scope(accept="text/html,*/*") | {"path": path, "method": "GET"}
    assert instead_of(asked, pages()) == place
    assert instead_of(scope(accept="*/*") | {"path": path, "method": "GET"}, pages()) is None
    assert instead_of(asked | {"method": "POST"}, pages()) is None


def test_it_is_said_on_the_first_page_which_was_asked_for(port):
    status, headers, _ = get(port, "/nope?x=1", accept="text/html")
    assert (status, headers["location"]) == (302, "./?asked-page=nope")
    assert headers["X-Frame-Options"] == "SAMEORIGIN"
    assert get(port, "/curves", accept="text/html")[0] == 200


def test_both_configurations_are_the_same():
    """One is read in the repository's folder, the other, beside the script, wherever the server is started."""
    root, beside = (folder / ".streamlit" / "config.toml" for folder in (ROOT, APP.parent))
    assert root.read_bytes() == beside.read_bytes()
    assert tomllib.loads(root.read_text())["server"]["address"] == "localhost"


# --- real servers -----------------------------------------------------------------------------------------------------


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def started(folder, command, port, **environment):
    """A server of that command, started in a folder without any configuration and with an empty home."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("STREAMLIT_", "SIMCLR_"))}
    clean |= {"HOME": str(folder), "SIMCLR_RUNS_DIR": str(folder / "runs"), "PYTHONPATH": str(ROOT)} | environment
    with open(folder / "log", "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=folder, env=clean, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        wait_until_served(f"http://127.0.0.1:{port}", folder / "log")
        yield port, process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def streamlit_run(tmp_path_factory):
    folder, port = tmp_path_factory.mktemp("elsewhere"), free_port()
    with started(folder, ["streamlit", "run", str(APP), "--server.port", str(port)], port) as found:
        yield found


@pytest.fixture(scope="module")
def uvicorn(tmp_path_factory):
    """On every address of this machine, as the app cannot choose there; the setting names a proxy's host."""
    folder, port = tmp_path_factory.mktemp("uvicorn"), free_port()
    command = ["uvicorn", "dashboard.app:app", "--host", "0.0.0.0", "--port", str(port)]
    with started(folder, command, port, **{SETTING: "hub.example.org"}) as found:
        yield found


@pytest.fixture(params=["streamlit_run", "uvicorn"])
def port(request):
    return request.getfixturevalue(request.param)[0]


def get(port, path="/", address="127.0.0.1", version=11, **headers):
    """Status, headers and text of an answer; with a `host` of None no Host is sent."""
    connection = http.client.HTTPConnection(address, port, timeout=20)
    connection._http_vsn, connection._http_vsn_str = version, f"HTTP/1.{version - 10}"
    connection.putrequest("GET", path, skip_host=True)
    for name, value in ({"host": f"localhost:{port}"} | headers).items():
        if value is not None:
            connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, answer.headers, answer.read().decode()
    connection.close()
    return found


def shake_hands(port, host=None, origin=None, address="127.0.0.1", **headers):
    """A websocket's first message to Streamlit and its answer, or the status with which it is refused."""
    from streamlit.proto.BackMsg_pb2 import BackMsg
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

    request = BackMsg()
    request.rerun_script.query_string = ""
    with socket.create_connection((address, port), timeout=20) as connection:
        uri = f"ws://{host or f'localhost:{port}'}{STREAM}"
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            with connect(
                uri, sock=connection, origin=origin, subprotocols=["streamlit"], additional_headers=more, proxy=None
            ) as stream:
                stream.send(request.SerializeToString())
                answer = ForwardMsg()
                answer.ParseFromString(stream.recv(timeout=60))
                return answer
        except InvalidStatus as refused:
            return refused.response.status_code


def test_from_another_folder_it_listens_on_localhost_only_and_sends_no_telemetry(streamlit_run):
    port, process = streamlit_run
    listening = [item.laddr for item in psutil.Process(process.pid).net_connections() if item.status == "LISTEN"]
    assert listening and {item.port for item in listening} == {port}
    assert {item.ip for item in listening} <= {"127.0.0.1", "::1"}
    answer = shake_hands(port, origin=f"http://localhost:{port}")
    assert answer.new_session.config.gather_usage_stats is False


def test_page_and_websocket_are_served(port):
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"):
        status, headers, text = get(port, host=host)
        assert status == 200 and "<title>" in text
        assert shake_hands(port, host=host, origin=f"http://{host}").WhichOneof("type") == "new_session"
    assert headers["X-Frame-Options"] == "SAMEORIGIN"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy and "frame-ancestors 'self'" in policy and "'unsafe-eval'" not in policy
    assert get(port, "/_stcore/health", version=10)[0] == 200
    assert shake_hands(port).WhichOneof("type") == "new_session"  # without Origin: no browser, so no foreign page


@pytest.mark.parametrize("path", ["/", "/_stcore/health", "/_stcore/host-config", "/app/static/icon.png", "/media/x"])
def test_no_path_answers_a_foreign_host(port, path):
    for request in ({"host": "evil.example"}, {"origin": "http://evil.example"}, {"x_forwarded_host": "evil.example"}):
        status, headers, text = get(port, path, **request)
        assert status == 403 and "evil.example" in text and SETTING in text
        assert headers["X-Frame-Options"] == "SAMEORIGIN"
    assert get(port, path, version=10, host=None)[0] == 403


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("evil.example", None),
        ("evil.example", "http://evil.example"),
        (None, "http://evil.example"),
        (None, "null"),
        (None, "http://localhost:1"),
    ],
)
def test_a_foreign_websocket_is_closed(port, host, origin):
    assert shake_hands(port, host=host, origin=origin) == 403


def test_only_a_proxy_that_is_meant_may_hand_on_visitors(streamlit_run, uvicorn):
    handed_on = {"host": "hub.example.org", "x_forwarded_for": "203.0.113.5", "x_forwarded_proto": "https"}
    for port, expected in ((streamlit_run[0], 403), (uvicorn[0], 200)):
        assert get(port, **handed_on)[0] == expected
        assert get(port, **handed_on | {"x_forwarded_for": "127.0.0.1"})[0] == expected
        assert get(port, **handed_on | {"host": "evil.example"})[0] == 403
    for host in (None, "hub.example.org"):  # with another Host in its place, and as it came
        answer = shake_hands(uvicorn[0], host=host, origin="https://hub.example.org", x_forwarded_for="203.0.113.5")
        assert answer.WhichOneof("type") == "new_session"


def test_another_machine_is_told_what_to_do(uvicorn):
    """This machine's own address stands in for another machine's: it is no loopback address either."""
    port = uvicorn[0]
    found = [
        item.address for items in psutil.net_if_addrs().values() for item in items if item.family == socket.AF_INET
    ]
    address = next((item for item in found if not item.startswith("127.")), None)
    if address is None:
        pytest.skip("this machine has no address but loopback's")
    for headers in ({}, {"host": "hub.example.org"}, {"x_forwarded_for": "127.0.0.1"}, {"host": f"{address}:{port}"}):
        status, _, text = get(port, address=address, **headers)
        assert status == 403 and f"comes from {address}" in text and SETTING in text
    assert shake_hands(port, address=address) == 403


def test_a_setting_that_cannot_be_read_ends_the_server_with_a_sentence(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "uvicorn", "dashboard.app:app"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {SETTING: "https://hub", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
        timeout=60,
    )
    assert ended.returncode
    assert f"{SETTING}: 'https://hub' is none of" in ended.stderr and "Traceback" not in ended.stderr
