"""The file itself: a template filled with what the other parts found, behind a content policy that lets nothing out."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from markupsafe import Markup

from simclr import PACKAGE
from simclr.added.sets import AddedSet
from simclr.report import answers, copies, curves, made, maps, options, other_encoders, pairs, verdicts
from simclr.report.subjects import Line, Subject, lines_of, resolve
from simclr.runs.status import Report, no_report

ASSETS = Path(__file__).parent / "assets"
FONT = PACKAGE.parent / "dashboard" / "static" / "fonts" / "inter.woff2"  # where the dashboard is installed, too


def make(names: Sequence[str], folder: Path, *, with_images: bool = True, report: Report = no_report) -> str:
    """The text of a report's file.

    Args:
        names: ids, unique beginnings or folders of runs, ids of groups, and names of embeddings that were added.
        folder: of the runs.
        with_images: whether images of the data sets may be in it.
        report: told what is going on.

    Raises:
        ConfigError: with one sentence, for a name that stands for nothing here.
    """
    report("Reading the runs", 0.0)
    others, added = other_encoders.taken_out(names, folder)
    subjects = resolve(others, folder)
    lines = lines_of(subjects)
    report("Reading the maps", 0.3)
    found_maps = maps.maps_of(lines, with_images, added)
    report("Drawing augmentation pairs", 0.5)
    found_pairs = pairs.pairs_of(lines) if with_images else []
    report("Writing the report", 0.9)
    return _filled(subjects, lines, added, found_maps, found_pairs, with_images)


def _filled(
    subjects: Sequence[Subject],
    lines: Sequence[Line],
    added: Sequence[AddedSet],
    found_maps: list[dict[str, Any]],
    found_pairs: list[dict[str, Any]],
    with_images: bool,
) -> str:
    parts = curves.parts_of(lines)
    figures = {
        f"{part['kind']}-{place}": each["figure"] for part in parts for place, each in enumerate(part["figures"])
    }
    script, style = _asset("report.js"), _asset("report.css") + _font()
    packed, plotly_hash = _plotly() if parts else ("", "")
    return str(
        _template().render(
            mark=Markup(made.MARK.decode()),
            policy=policy([script], [style], [plotly_hash] if plotly_hash else []),
            style=_safe(style),
            script=_safe(script),
            plotly=_safe(packed),
            title=_title([subject.title for subject in subjects]),
            kicker=" · ".join([_kicker(subjects), time.strftime("%d %B %Y")]),
            about=_about(subjects, lines),
            contents=_contents(found_pairs, added),
            subjects=[
                {
                    "title": subject.title,
                    "notes": _notes(subject),
                    "copies": copies.sentences(subject),
                    **answers.of_subject(subject),
                }
                for subject in subjects
            ],
            width=answers.WIDTH,
            height=answers.HEIGHT,
            options=options.tables_of(lines),
            curves=parts,
            no_curves=curves.missing(lines),
            maps=found_maps,
            others=other_encoders.sections(added, lines),
            has_tiles=any(each["num_tiles"] for each in found_maps),
            many_panels=any(len(each["panels"]) > 1 for each in found_maps),
            left_out_images=not with_images,
            pairs=found_pairs,
            verdicts=verdicts.verdicts_of(lines),
            environment=options.environment_of(lines),
            sweeps=[{"title": each.title, "yaml": text} for each in subjects if (text := options.sweep_of(each))],
            commands=options.commands_of(lines),
            images_sentence=_images_sentence(found_maps, found_pairs, with_images),
            date=time.strftime("%Y-%m-%d at %H:%M"),
            version=_version(),
            data={"figures": figures, "maps": [each["data"] for each in found_maps]},
        )
    )


def _title(titles: Sequence[str]) -> str:
    return titles[0] if len(titles) == 1 else f"{titles[0]}, and {len(titles) - 1} more"


def _kicker(subjects: Sequence[Subject]) -> str:
    if len(subjects) > 1:
        return f"{len(subjects)} experiments or runs"
    return (
        "Experiment" if subjects[0].group is not None else "Run" if len(subjects[0].summaries) == 1 else "Pre-training"
    )


def _about(subjects: Sequence[Subject], lines: Sequence[Line]) -> str:
    """What a reader who was not there has to know before anything else."""
    members = [member for line in lines for member in line.members]
    kinds = {member.summary.kind for member in members}
    text = ""
    if "pretrain" in kinds:
        text = (
            "SimCLR trains an image encoder without labels: two random views of each image are to be alike in its "
            "features, and unlike those of all other images. "
        )
    if kinds & {"finetune", "scratch"}:
        text += (
            "What that is worth is measured by classifiers: a head on the frozen encoder, all of it fine-tuned, and "
            "the same network trained from scratch. "
            if "pretrain" in kinds
            else "A classifier was trained, on a pre-trained encoder or from scratch. "
        )
    many = f"{len(members)} runs" if len(members) > 1 else "one run"
    return f"{text}This report shows {many}."


def _notes(subject: Subject) -> str:
    """What its user noted of the run that the subject is named after."""
    run = subject.find(subject.own.id) if subject.group is None else None
    return run.notes[:4000] if run is not None else ""


def _contents(found_pairs: object, added: object) -> list[dict[str, str]]:
    titles = {
        "answer": "Answer",
        "configuration": "Configuration",
        "curves": "Curves",
        "maps": "Maps",
        "others": "Other encoders" if added else "",
        "pairs": "Augmentation pairs" if found_pairs else "",
        "verdicts": "Verdicts",
        "environment": "Environment",
        "repeat": "Repeat it",
    }
    return [{"id": name, "title": title} for name, title in titles.items() if title]


def _images_sentence(
    found_maps: Sequence[dict[str, Any]], found_pairs: Sequence[dict[str, Any]], with_images: bool
) -> str:
    """Which images are in the file, for whoever hands it on."""
    if not with_images:
        return "None: they were left out on request."
    said = [
        f"{each['num_tiles']:,} {each['split']} images of {each['dataset']}, as thumbnails in the maps"
        for each in found_maps
        if each["num_tiles"]
    ]
    numbers: dict[str, set[int]] = {}
    for each in found_pairs:
        if not each["error"]:
            numbers.setdefault(each["dataset"], set()).update(each["numbers"])
    said += [f"{len(found)} training images of {name}, with views of them" for name, found in numbers.items()]
    return f"{'; '.join(said)}. No others." if said else "None."


# --- the parts of the file --------------------------------------------------------------------------------------------


def policy(scripts: Sequence[str], styles: Sequence[str], hashes: Sequence[str]) -> str:
    """A content policy under which nothing is fetched or sent, and nothing runs but these scripts.

    Args:
        scripts, styles: their texts. hashes: of further scripts.
    """
    # plotly.js adds empty style elements, which it fills by rules
    allowed = [*map(hash_of, scripts), *hashes], [*map(hash_of, styles), hash_of("")]
    script_src, style_src = (" ".join(f"'{name}'" for name in names) for names in allowed)
    return (
        f"default-src 'none'; script-src {script_src}; style-src {style_src}; img-src data:; font-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def hash_of(text: str) -> str:
    """A text's hash as content policies write it: `sha256-` and base64."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@lru_cache(maxsize=1)
def _plotly() -> tuple[str, str]:
    """plotly.js, compressed, as base64, and the hash of its text."""
    from plotly import offline

    text = offline.get_plotlyjs()
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", mtime=0) as packed:
        packed.write(text.encode())
    return base64.b64encode(stream.getvalue()).decode(), hash_of(text)


def _font() -> str:
    try:
        content = base64.b64encode(FONT.read_bytes()).decode()
    except OSError:  # the package alone: the reader's own font does
        return ""
    return (
        "@font-face { font-family: Inter; font-weight: 100 900; font-display: swap; "
        f'src: url("data:font/woff2;base64,{content}") format("woff2"); }}\n'
    )


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _safe(text: str) -> Markup:
    """A text of our own that is not escaped, since a browser reads scripts and styles as they are."""
    assert "</s" not in text.lower(), "it would end its element"
    return Markup(text)


@lru_cache(maxsize=1)
def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    thousands: Callable[[int], str] = "{:,}".format
    environment.filters["thousands"] = thousands
    return environment.get_template("report.html.j2")


def _version() -> str:
    try:
        return metadata.version("simclr-explorer")
    except metadata.PackageNotFoundError:
        return "of a checkout"
