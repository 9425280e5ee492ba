"""What stands between browser and server: a network that takes its time, and a proxy with a prefix of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter, delay: float) -> None:
    """Copies a stream; each part leaves `delay` seconds after it came, however many are on their way."""
    loop = asyncio.get_running_loop()
    parts: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def leave() -> None:
        while True:
            due, part = await parts.get()
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            if not part:
                target.close()
                return
            target.write(part)
            await target.drain()

    leaving = asyncio.create_task(leave())
    with contextlib.suppress(OSError):
        while part := await source.read(65536):
            parts.put_nowait((loop.time() + delay, part))
    parts.put_nowait((loop.time() + delay, b""))
    with contextlib.suppress(OSError):
        await leaving


@contextlib.contextmanager
def _listening(connected: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> Iterator[int]:
    """The port at which each connection is given to `connected`, in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    proxy = asyncio.run_coroutine_threadsafe(asyncio.start_server(connected, "127.0.0.1", 0), loop).result(10)
    yield proxy.sockets[0].getsockname()[1]

    async def end() -> None:
        proxy.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run_coroutine_threadsafe(end(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@contextlib.contextmanager
def slow_network(port: int, delay: float) -> Iterator[int]:
    """The port of a proxy on this machine before the server at `port`, whose answers come `delay` seconds later."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(_pass_on(reader, server_writer, 0), _pass_on(server_reader, writer, delay))

    with _listening(connected) as own:
        yield own


@contextlib.contextmanager
def stripping_proxy(port: int, prefix: str) -> Iterator[int]:
    """The port of a proxy that takes `prefix` (`/user/me`) off each path before the server at `port` sees it.

    What lies elsewhere is another server's: 404. Websockets are passed on as well, the Host as it came.
    """

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError, asyncio.IncompleteReadError):
            line, _, rest = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
            method, target, version = line.split(b" ")
            if not target.startswith(f"{prefix}/".encode()):
                writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                writer.close()
                return
            if b"\r\nupgrade: websocket" not in b"\r\n" + rest.lower():  # one request for each connection
                lines = [each for each in rest.split(b"\r\n") if not each.lower().startswith(b"connection:")]
                rest = b"\r\n".join([b"Connection: close", *lines])
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", port)
            server_writer.write(b" ".join([method, target[len(prefix) :], version]) + b"\r\n" + rest)
            await asyncio.gather(_pass_on(reader, server_writer, 0), _pass_on(server_reader, writer, 0))

    with _listening(connected) as own:
        yield own
