"""The dashboard's server: everything that can be done before the first visitor comes is done at its start.

Pages and navigation stand in shell.py.

streamlit run dashboard/app.py
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # Streamlit puts only this folder on the path
    sys.path.insert(0, str(ROOT))

import os  # noqa: E402

from simclr.files import user_paths  # noqa: E402
from simclr.hardware import threads  # noqa: E402

threads.wait_briefly()
try:
    Path.home()
except RuntimeError:  # a user without HOME and name: Streamlit, which looks for settings there, takes this one
    os.environ["HOME"] = str(user_paths.home())

import asyncio  # noqa: E402
import contextlib  # noqa: E402
import gc  # noqa: E402
import importlib  # noqa: E402
import inspect  # noqa: E402
from collections.abc import AsyncIterator  # noqa: E402

import streamlit as st  # noqa: E402
import streamlit.config  # noqa: E402
from starlette.middleware import Middleware  # noqa: E402

from dashboard import access  # noqa: E402
from dashboard.components import served  # noqa: E402
from dashboard.shared import store  # noqa: E402
from simclr.files import names  # noqa: E402

COLLECT_SECONDS = 60.0


@contextlib.asynccontextmanager
async def warm(_app: st.App) -> AsyncIterator[None]:
    """Imports and reads what the first page shows, so that the first visit is as quick as the next.

    Then takes what the imports made out of the garbage collector's sight, and collects now and then what visitors leave
    behind. Streamlit would collect after every script run, each refresh of a part of a page among them: that was two
    thirds of the time of a refresh (race page, 21 against 6 ms of CPU, n 2).
    """
    importlib.import_module("dashboard.runs.page")  # not the others, which bring much more: the start waits for this
    importlib.import_module("pandas")  # for the first component, Streamlit does
    store.get().summaries()
    inspect.stack()  # for the first element; the first time Python looks where all modules are
    streamlit.config.set_option("server.allowedHosts", ["*"])  # `access` has decided by then, and knows its setting
    gc.collect()
    gc.freeze()
    collecting = asyncio.create_task(collect_garbage())
    yield
    collecting.cancel()


async def collect_garbage() -> None:
    """As long as the server runs."""
    while True:
        await asyncio.sleep(COLLECT_SECONDS)
        gc.collect()


try:
    allowed = access.Allowed.parse(os.environ.get(access.SETTING, ""))
except ValueError as error:
    sys.exit(str(error))
if not names.is_text(folder := str(store.runs_dir())):  # Streamlit keeps nothing under such a name
    sys.exit(f"The runs folder is {names.readable(folder)}; allowed: SIMCLR_RUNS_DIR set to a path in UTF-8.")

app = st.App(
    ROOT / "dashboard" / "shell.py",
    lifespan=warm,
    routes=served.routes(),
    middleware=[Middleware(access.Guard, allowed=allowed)],
)
