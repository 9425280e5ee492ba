"""The filter of a table of runs: what it lets pass, what it says of wrong ones, and that no line breaks it."""

import random
import string
from dataclasses import replace

import pytest
from dashboard_fixtures import make_run

from simclr import runs
from simclr.results.index import RunIndex
from simclr.run_table import columns, run_filter
from simclr.run_table.late_values import LateValues
from simclr.run_table.run_filter import Term, parse

OPERATOR_CASES = {
    ":": (False, True, False),
    "=": (False, True, False),
    "!=": (True, False, True),
    ">": (False, False, True),
    ">=": (False, True, True),
    "<": (True, False, False),
    "<=": (True, True, False),
}


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Three pre-trainings with temperature 0.1, 0.2 and 0.5, oldest first, and what tables know of them."""
    folder = tmp_path_factory.mktemp("runs")
    made = [
        make_run(
            folder,
            name=f"run {number}",
            temperature=temperature,
            tags=["paper", "old"][: 2 - number % 2],
            augmentation={"hue": temperature},
        )
        for number, temperature in enumerate((0.1, 0.2, 0.5))
    ]
    late = LateValues(folder)
    by_id = {item.id: item for item in RunIndex(folder).summaries()}
    found = [replace(by_id[run.id], best_knn=value) for run, value in zip(made, (0.5, 0.853, 0.9), strict=True)]
    assert late.read(found, columns.options()) == 0
    return found, late


def names(three, line):
    found, late = three
    made = parse(line, late.more)
    assert not made.problems
    return [item.name for item in run_filter.passing(made, found, late.value, late.more)]


TITLE = "What’s l\u2019été\u202fde\u00a0Zoe\u0308 ?"


@pytest.mark.parametrize(
    "line",
    [
        "group:what's",
        "group:\u2018what\u2019s".replace("\u2018", ""),
        'group:"l\'été de zoë"',
        "group=\"WHAT'S L'ÉTÉ DE ZOË ?\"",
        f'group="{TITLE}"',
        'group:"de\u00a0zoë"',
        "l'été",
        '"de zoë ?"',
        "tags:it's",
        'tags="it\'s\u00a0new"',
        'name:"l`été"',
    ],
)
def test_texts_are_found_with_any_apostrophe_and_space(tmp_path, line):
    """As French and word processors write them; no user sees the difference."""
    run = make_run(tmp_path, name="l’été", tags=["it’s new"])
    make_run(tmp_path, name="another")
    runs.add_meta(run.path, group={"id": "a-1", "title": TITLE, "setting": {}})
    late = LateValues(tmp_path)
    found = RunIndex(tmp_path).summaries()
    made = parse(line, late.more)
    assert not made.problems
    assert [item.id for item in run_filter.passing(made, found, late.value, late.more)] == [run.id]
    assert parse(str(made), late.more) == made


@pytest.mark.parametrize("operator", run_filter.OPERATORS)
@pytest.mark.parametrize("name", ["temperature", "augmentation.hue"])
def test_every_operator_on_numbers(three, operator, name):
    wanted = [f"run {number}" for number in range(3) if OPERATOR_CASES[operator][number]]
    assert names(three, f"{name}{operator}0.2") == wanted
    assert names(three, f"-{name}{operator}0.2") == [f"run {n}" for n in range(3) if f"run {n}" not in wanted]


@pytest.mark.parametrize("value", ["85", "85%", "0.85", "85.0 %"])
def test_accuracies_are_per_cent_or_shares(three, value):
    assert names(three, f'knn>"{value}"') == ["run 1", "run 2"]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("", [0, 1, 2]),
        ("knn:85.3", [1]),
        ("tag:paper -tag:old", [1]),
        ("tag=pap", []),
        ("tag:pap", [0, 1, 2]),
        ('name:"run 1"', [1]),
        ("name=RUN", []),
        ("temperature:0.1,0.5", [0, 2]),
        ("temperature!=0.1,0.5", [1]),
        ('run -"run 1"', [0, 2]),
        ("state:active", []),
        ("-state:active kind:PRETRAIN", [0, 1, 2]),
        ("kind:finetune,scratch", []),
        ("test_top1:*", []),
        ("knn:*", [0, 1, 2]),
        ("duration>30 duration<1min", [0, 1, 2]),
        ("started>=2020-01-01 age<1d", [0, 1, 2]),
        ("started<2020-01-01T10:00", []),
        ("backbone:resnet dataset=shapes", [0, 1, 2]),
        ("data_dir:none", [0, 1, 2]),
        ("accelerator:auto,cpu", [0, 1, 2]),
    ],
)
def test_lines(three, line, wanted):
    assert names(three, line) == [f"run {number}" for number in wanted]


@pytest.mark.parametrize(
    ("line", "said", "rest"),
    [
        ("temprature:3 paper", "temprature is no figure or option of a run; did you mean temperature?", "paper"),
        ("knn>high", "knn is high; allowed: a number, as 85 or 85% (per cent) or 0.85.", ""),
        ("temperature<warm", "temperature is warm; allowed: a number.", ""),
        ("state:fialed kind:pretrain", "state is fialed; allowed: active, queued", "kind:pretrain"),
        ("dataset>5", "dataset is text, which is not more or less than 5; allowed: dataset:5.", ""),
        ("tag:", "tag: has no value; allowed: a value after it, or tag:* for any.", ""),
        ("duration>long", "duration is long; allowed: a duration, as 90, 90s, 5min, 2h or 1d.", ""),
        ("started>soon", "started is soon; allowed: a date", ""),
        ("knn>inf", "knn is inf; allowed: a number", ""),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence_and_the_rest_holds(line, said, rest):
    found = parse(line)
    (problem,) = found.problems
    assert problem.startswith(said)
    assert str(found) == rest


def random_word(draw):
    return "".join(draw.choices(string.ascii_letters + '0123456789 .,:=<>!"\\-*%äß漢', k=draw.randint(1, 8)))


def test_a_filter_that_is_written_and_read_again_is_the_same():
    draw = random.Random(3)
    for _ in range(3000):
        terms = []
        for _ in range(draw.randint(0, 4)):
            if draw.random() < 0.4:
                term = Term((random_word(draw),), is_not=draw.random() < 0.3)
            else:
                values = tuple(random_word(draw) for _ in range(draw.randint(1, 3)))
                term = Term(values, draw.choice(["name", "tags", "notes"]), draw.choice([":", "=", "!="]), True)
            terms.append(term)
        line = str(run_filter.Filter(tuple(terms)))
        found = parse(line)
        assert found.terms == tuple(terms), line
        assert not found.problems


def test_no_line_breaks_it(three):
    found, late = three
    draw = random.Random(4)
    pieces = [
        *'":=<>!,-\\*% \t\n\0',
        "knn",
        "state",
        "temperature",
        "1e999",
        "nan",
        "0" * 300,
        "漢",
        "\ud800",
        "name",
        "age",
    ]
    for _ in range(4000):
        made = parse("".join(draw.choices(pieces, k=draw.randint(0, 14))), late.more)
        run_filter.passing(made, found, late.value, late.more)
        assert parse(str(made), late.more).terms == made.terms
    long = parse("x " * 5000)
    assert len(long.terms) <= run_filter.MAX_TERMS and len(long.problems) == 2
    assert parse('"' * 2000).problems == ()


def test_every_column_can_be_asked_for(three):
    found, late = three
    for name in columns.names():
        made = parse(f"{name}:*")
        assert made.problems == () and made.names == {name}
        run_filter.passing(made, found, late.value)


def test_figures_have_the_names_of_the_measures():
    from simclr.results.groups import MEASURES

    assert {measure.key for measure in MEASURES} <= set(columns.FIGURES)
    assert set(columns.ALIASES.values()) <= set(columns.FIGURES)
    assert set(columns.DEFAULT) <= set(columns.FIGURES)
    assert not set(columns.ALIASES) & (set(columns.FIGURES) | set(columns.options()))
