"""Text of users is shown as it is wherever markup is read: Markdown, plotly, commands; nothing of it becomes alive."""

from __future__ import annotations

import html
import json
import random
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from conftest import make_folder
from dashboard_fixtures import make_run, open_page, shown
from lightning_log import write_log
from server import ROOT, Server, Tab
from trainings import trained_run
from waiting import wait_for

from dashboard.components import escape
from dashboard.run import figures
from dashboard.shared import forms, url_state
from simclr import runs
from simclr.embeddings import embed
from simclr.embeddings.projections import Projection
from simclr.embeddings.references import EncoderRef
from simclr.embeddings.selection import ImageSelection
from simclr.files.names import readable

HOST = "evil.example"
FEW = [
    f"![x](http://{HOST}/p.png) [click](http://{HOST}/) <img src=http://{HOST}/q.png>",
    f"<a href='http://{HOST}/'>a</a> <b>b</b> www.{HOST} me@{HOST} &lt;i&gt; %{{x}}",
    "# - * _it_ **b** ~~s~~ `c` $x^2$ $$y$$ :red[r] :material/bolt: :smile: :+1: :streamlit: :material_bolt:",
    "1. a | b \\| c -> -- >= <-> \\[d\\] :small[] :color[c]{foreground=red} [^1] ==m== :help[x]",
]
WHOLE = [
    *FEW, "- [ ] task", "> quote", "---", "===", "```", "`` ` ``", "    code", "1)", "a\nb\n\n# c", "->", "a:->", "::",
    ":a:b:", ":small{}", "a{}", f"HTTPS://{HOST}/a(b)", f"<http://{HOST}>", f"mailto:a@{HOST}", "a@b.co", "WWW.b.co",
    f"x](http://{HOST})", "\\", "\\\\*",
    "&amp; &#42; &copy;", "$5 and $6", "| a | b |", "***", "__", "<!-- c -->", "<script>alert(1)</script>",
    ":::note", "::a[b]", ":material/", "[a]: http://b.co", "\u202ertl", "日本 :火:", "\ud800 half",
]  # fmt: skip
PIECES = [
    *"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ \n",
    "a",
    "1",
    "b2",
    " ",
    "http",
    "://",
    "www",
    ".co",
    "**",
    "__",
    "~~",
    "$$",
    "``",
    "](",
    "![",
    "<b>",
    "</b>",
    ":red[",
    ":smile:",
    "material/bolt",
    "&lt;",
    "->",
    "--",
    "\\\\",
    "é",
]


def generated(count: int, seed: int = 0) -> list[str]:
    """Texts put together from signs and pieces of markup, none of them empty."""
    draw = random.Random(seed)
    return ["x" + "".join(draw.choices(PIECES, k=draw.randint(1, 14))) for _ in range(count)]


def plain(text: str) -> str:
    return " ".join(readable(text).split())


# --- without a browser ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [*WHOLE, *generated(30)])
def test_markdown_has_no_sign_of_its_own_and_stands_for_the_text(text: str) -> None:
    found = escape.markdown(text)
    assert shown(found) == plain(text)
    assert re.fullmatch(r"(?:[^!-/:-@\[-`{-~]|&#\d+;|:small\{\})*", found)


def test_a_figure_keeps_what_it_is_and_has_no_markup_in_its_texts() -> None:
    figure = figures.per_class(["<a href='x'>a</a>", "b & {c}"], [0.1, 0.2], "primary")
    found = escape.plotly(figure)
    assert not re.search(r"[<{]a|&(?!#)", json.dumps({**found, "data": [{**found["data"][0], "hovertemplate": ""}]}))
    assert html.unescape(json.dumps(found)) == json.dumps(figure)
    assert found["data"][0]["hovertemplate"] == figure["data"][0]["hovertemplate"]


def test_no_component_takes_text_for_html() -> None:
    sources = [*(ROOT / "dashboard").rglob("*.js"), *(ROOT / "dashboard").rglob("*.py")]
    sources = [path for path in sources if "static" not in path.parts]
    assert len(sources) > 40
    ways = "innerHTML|outerHTML|insertAdjacentHTML|document.write|createContextualFragment|unsafe_allow_html|srcdoc"
    assert [path.name for path in sources if re.search(ways, path.read_text(encoding="utf-8"))] == []


@pytest.fixture
def folder(tiny_runs: Path) -> Path:
    return tiny_runs


NASTY = ["x; touch pwned", "$(touch pwned)", "it's", '"a" `b`', "-x", "--seed 3", "a\nb", "*"]


@pytest.mark.parametrize("name", NASTY)
def test_the_command_that_repeats_a_run_is_for_its_folder_alone(folder: Path, tmp_path: Path, name: str) -> None:
    made = make_run(folder)
    made.path.rename(folder / name)
    app = open_page("run", id=name, tab="reproduce")
    assert not app.exception
    command = next(item.value for item in app.code if item.value.startswith("python -m simclr"))
    words = (
        subprocess.run(
            ["sh", "-c", f"python() {{ printf '%s\\0' \"$@\"; }}; {command}"],
            cwd=tmp_path,
            capture_output=True,
            check=True,
        )
        .stdout.decode()
        .split("\0")[:-1]
    )
    assert words == ["-m", "simclr", "pretrain", "--config", str(folder / name / runs.CONFIG)]
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("name", NASTY)
def test_the_command_of_the_form_gives_each_option_back(folder: Path, name: str) -> None:
    values = forms.start_values("pretrain", "quick") | {"name": name, "notes": name}
    words = shlex.split(forms.command("pretrain", "quick", values))
    assert {"--name", f"--name={name}"} & set(words)
    from simclr.cli.main import main

    if not name.startswith("a\n"):
        assert main([*words[3:-2], "--print_config"]) == 0


def test_addresses_hold_any_id(folder: Path) -> None:
    assert url_state.address("run", id="a&b=#c/?d") == "run?id=a%26b%3D%23c%2F%3Fd"


# --- in a browser ---------------------------------------------------------------------------------------------------

LOOK = """() => [...document.querySelectorAll('[class*="st-key-text-"], [class*="st-key-label-"]')].map(node => {
  const box = node.querySelector('[data-testid=stMarkdownContainer]');
  return {
    key: [...node.classList].find(name => name.startsWith('st-key-')),
    text: box ? box.textContent : '',
    strong: box && box.querySelector('strong') ? box.querySelector('strong').textContent : '',
    tags: box ? [...new Set([...box.querySelectorAll('*')].map(each => each.tagName))] : [],
    special: box ? box.querySelectorAll('[role=img], .katex, [data-testid=stMarkdownColoredBackground]').length : 0,
  };
})"""
COUNT = "(node, text) => node.textContent.split(text).length - 1"
# Elements that lead or reach anywhere but to this server, and marks that only a text could have brought.
ALIVE = """() => [...document.querySelectorAll('a, img, image, iframe, object, embed, script')].filter(node => {
  const names = ['href', 'xlink:href', 'src', 'data', 'srcset'];
  return names.map(name => node.getAttribute(name)).filter(Boolean).some(address => {
    const url = new URL(address, location.href);
    return url.origin !== location.origin && !['data:', 'blob:'].includes(url.protocol);
  });
}).concat([...document.querySelectorAll('[data-testid=stMain] b, .katex')])
  .map(node => node.outerHTML.slice(0, 300))"""


@pytest.fixture(scope="module")
def texts_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, list[str]]]:
    folder = tmp_path_factory.mktemp("escape")
    texts = [*WHOLE, *generated(120, seed=1)]
    (folder / "texts.json").write_text(json.dumps({"all": texts, "few": FEW}))
    server = Server(folder)
    plain_fonts = {"STREAMLIT_THEME_FONT": "sans-serif", "STREAMLIT_THEME_CODE_FONT": "monospace"}  # ours lie elsewhere
    server.start("tests/browser/escape_app.py", TEXTS=str(folder / "texts.json"), **plain_fonts)
    yield server, texts
    server.kill()


@pytest.mark.browser
@pytest.mark.timeout(120)
def test_a_browser_shows_every_text_as_it_is(texts_page: Any, browser: Any) -> None:
    server, texts = texts_page
    tab = Tab(browser, server.url, "escape")
    tab.open("/")
    tab.sees("the end")
    tab.page.wait_for_function(f"() => ({LOOK})().every(item => item.text)")
    found = {item["key"].removeprefix("st-key-"): item for item in tab.page.evaluate(LOOK)}
    for number, text in enumerate(texts):
        text = plain(text)
        item, label = found[f"text-{number}"], found[f"label-{number}"]
        assert item["text"] == f"{text} {text} {text} {text}"
        assert (set(item["tags"]), item["strong"], item["special"]) == ({"P", "STRONG", "SPAN"}, text, 0), text
        assert (label["text"], label["special"]) == (text, 0)
        assert set(label["tags"]) <= {"P", "SPAN"}, text
    for number, text in enumerate(FEW):
        box = tab.page.locator(f".st-key-few-{number}")
        # Streamlit draws some places a moment later than the page's end
        wait_for(lambda box=box, text=text: box.evaluate(COUNT, text) >= 19, f"{text} in all places", 20)
        assert box.evaluate(COUNT, text) == 19, text
    assert tab.page.evaluate(ALIVE) == []
    tab.has_no_errors()
    tab.context.close()


NAME = f"![x](http://{HOST}/p.png) <b>b</b> [c](http://{HOST}/) :smile: www.{HOST}"  # fits a run's name
CLASS = f"<b>b< www.{HOST} &lt; [c](mailto:a@b.co)"  # fits a folder's


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, runs.Run]]]:
    """A server over runs in all states whose every text is hostile, and images in folders with such names."""
    folder = tmp_path_factory.mktemp("hostile")
    server = Server(folder)
    server.runs_dir.mkdir()
    images = make_folder(folder / CLASS, {CLASS: 12, f"{CLASS} 2": 12})
    texts = {"name": NAME, "notes": NAME, "tags": [NAME]}
    first = trained_run(server.runs_dir, 1, **texts | {"dataset": str(images)})
    made = {"first": first, "second": trained_run(server.runs_dir, 1, **texts | {"dataset": str(images)})}
    embed.compute(
        [EncoderRef(first), EncoderRef(made["second"])], ImageSelection(num_images=500), ["pca", Projection("pca", 3)]
    )
    for state in ("failed", "stopped", "running", "queued"):
        made[state] = make_run(server.runs_dir, state, **texts)
        said = {"reason": NAME, "error": NAME, "phase": NAME, "job_id": NAME, "job_reason": NAME, "steps": 0}
        runs.update_status(made[state].path, **said)
        with (made[state].path / runs.LOG).open("a") as log:
            log.write(f"Traceback (most recent call last)\n  {NAME}\nValueError: {NAME}\n")
    made["tuned"] = make_run(
        server.runs_dir, kind="finetune", experiment_version=first.id, label_fraction=0.01, **texts
    )
    figures = {**made["tuned"].evaluation, "budget": NAME, "classes": [CLASS, f"{CLASS} 2", NAME]}
    runs.write_evaluation(made["tuned"].path, figures)
    runs.write_evaluation(first.path, {"test/linear_top1": 0.5, "protocols": {"linear": {"text": NAME}}})
    for run in made.values():
        runs.add_meta(run.path, host=NAME, git_commit=NAME, platform=NAME)
    renamed = server.runs_dir / CLASS
    make_run(server.runs_dir).path.rename(renamed)
    made["folder"] = runs.Run(renamed)
    write_log(
        folder / "logs" / CLASS,
        f'epoch,step,"{NAME}"\n0,0,1.5\n0,1,1.25\n',
        f"{json.dumps(NAME)}: {json.dumps(NAME)}\n",
    )
    server.start()
    yield server, made
    server.kill()


@pytest.mark.browser
@pytest.mark.timeout(180)
def test_no_text_of_a_run_or_an_address_comes_alive_on_any_page(hostile: Any, browser: Any) -> None:
    server, made = hostile
    tab = Tab(browser, server.url, "hostile", size=(1440, 2400))
    ids = {name: run.id for name, run in made.items()}
    for page, query, words in (
        ("", {"text": NAME}, NAME),
        ("", {}, NAME),
        ("run", {"id": NAME}, f"There is no run {NAME} in"),
        *(("run", {"id": ids[name]}, NAME) for name in ("first", "failed", "stopped", "running", "queued")),
        ("run", {"id": ids["tuned"], "tab": "test"}, f"{CLASS} 2"),  # a name in its charts
        *(("run", {"id": ids["first"], "tab": tab}, NAME) for tab in ("health", "options", "log", "reproduce")),
        ("run", {"id": CLASS}, CLASS),
        ("augmentations", {"run": NAME, "preset": NAME}, NAME),
        ("augmentations", {"run": ids["first"], "part": "encoder", "encoder": NAME}, NAME),
        ("augmentations", {"dataset": NAME}, NAME),
        ("curves", {"runs": ids["first"], "folder": NAME, "metric": NAME, "large": NAME, "x": NAME}, NAME),
        ("curves", {"runs": f"{ids['first']},{ids['tuned']}", "folder": str(server.folder / "logs")}, NAME),
        ("embeddings", {"left": NAME, "right": NAME, "method": NAME, "color": NAME, "images": "500"}, NAME),
        ("embeddings", {"left": ids["first"], "right": ids["second"], "dims": "3", "images": "500"}, NAME),
        ("results", {"experiment": NAME}, NAME),
        ("new-run", {"clone": NAME, "recipe": NAME}, NAME),
        ("new-run", {"edit": ids["queued"]}, NAME),
        ("new-run", {"dataset": NAME, "temperature": NAME, "kind": NAME, "place": NAME}, NAME),
    ):
        print(page, query)  # the last is shown where one fails
        tab.open(f"/{page}?{urlencode(query)}")
        tab.sees(words, timeout=15_000)
        tab.page.wait_for_function("() => !document.querySelector('[data-testid=stStatusWidgetRunningIcon]')")
        assert tab.page.evaluate(ALIVE) == [], (page, query)
        assert tab.errors == [], (page, query)
    tab.has_no_errors()
    tab.context.close()
