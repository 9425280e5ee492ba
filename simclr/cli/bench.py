"""The command `bench`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial, update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simclr.cli.parser import command_parser, parse
from simclr.config import ConfigError

if TYPE_CHECKING:
    from simclr.bench.timing import Row

PEERS = ("lightly", "sklearn")
METAVARS = {"plot": "FILE", "json": "FILE", "data": "FOLDER"}


def bench(arguments: list[str]) -> int:
    """Measures what is asked for and prints it as it comes; returns the exit status.

    Raises:
        ConfigError: for bad input, or a peer that is not installed.
    """
    from simclr.bench.growth import CostCurve, cost_curves, draw
    from simclr.bench.parts import ON_REQUEST, PARTS
    from simclr.bench.timing import machine

    parser = command_parser("bench")
    texts = {
        "only": f"Parts, separated by commas: {', '.join(PARTS)} (default: all these), {', '.join(ON_REQUEST)}.",
        "against": f"Peers to compare with where they are installed, separated by commas: {', '.join(PEERS)}.",
        "repeats": "Turns of each comparison, or seeds of `accuracy`, 2 to 100. Default: 5.",
        "data": "FOLDER of images with train/ and test/, each with a folder per class, for `accuracy`.",
        "epochs": "Epochs of `accuracy`. Default: those of its recipe.",
        "plot": "FILE.html to draw time and memory against batch, image and data size into; takes minutes more.",
        "json": "FILE.json for all figures, with the machine.",
    }
    for name, text in texts.items():
        parser.add_argument(f"--{name}", type=str, metavar=METAVARS.get(name, "VALUE"), help=text)
    parser.add_argument(
        "--gpu",
        action="store_true",
        help="What this machine's GPU gives, in two minutes, as one table that can be sent back; only --json goes "
        "beside it.",
    )
    options = parse(parser, arguments)
    if options.gpu:
        return _gpu({name: value for name in texts if (value := getattr(options, name)) is not None})

    parts = _words("only", options.only, (*PARTS, *ON_REQUEST), tuple(PARTS))
    peers = _words("against", options.against, PEERS, ())
    repeats = int(options.repeats) if str(options.repeats or "5").isdecimal() and options.repeats else 5
    if options.repeats and not (str(options.repeats).isdecimal() and 2 <= repeats <= 100):
        raise ConfigError(f"repeats is {options.repeats}; allowed: a whole number from 2 to 100.")
    measures: dict[str, Callable[[tuple[str, ...], int], Iterator[Row]]] = PARTS | ON_REQUEST
    if "accuracy" in parts:
        measures["accuracy"] = _with_data(ON_REQUEST["accuracy"], options.data, options.epochs)
    files = {name: path for name in ("plot", "json") if (path := _file_of(name, getattr(options, name))) is not None}
    for peer in peers:
        try:
            __import__(peer)
        except ImportError:
            raise ConfigError(f"against is {peer}, which is not installed; pip install {peer}.") from None

    print(", ".join(f"{key} {value}" for key, value in machine().items() if value is not None), flush=True)
    rows: list[Row] = []
    for part in parts:
        print(f"\n{(measures[part].__doc__ or '').splitlines()[0]}", flush=True)
        for row in measures[part](peers, repeats):
            rows.append(row)
            print(f"  {row.text()}", flush=True)
    curves: list[CostCurve] = []
    if "plot" in files:
        for curve in cost_curves():
            curves.append(curve)
            cells = "  ".join(f"{size:,}: {cost:.3g}" for size, cost in zip(curve.sizes, curve.costs, strict=True))
            print(f"\n{curve.title}, {curve.unit} by {curve.size}\n  {cells}", flush=True)
        draw(curves, files["plot"])
        print(f"\n{files['plot']}")
    if "json" in files:
        content = {"machine": machine(), "rows": [asdict(row) for row in rows], "growth": [asdict(c) for c in curves]}
        files["json"].write_text(json.dumps(content, indent=1), encoding="utf-8")
    return 0


def _gpu(others: dict[str, str]) -> int:
    """The table of `--gpu`; `others` are the further options that were given."""
    from simclr.bench.gpu import table

    if strange := [name for name in others if name != "json"]:
        raise ConfigError(f"{strange[0]} is {others[strange[0]]}, and gpu is asked for; allowed beside gpu: json.")
    file = _file_of("json", others.get("json"))
    lines = table.measure()
    if file is not None:
        from simclr.bench.timing import machine

        file.write_text(json.dumps({"machine": machine(), "gpu": lines}, indent=1), encoding="utf-8")
    return 0 if all(line["ok"] for line in lines) else 1


def _file_of(name: str, value: str | None) -> Path | None:
    """The file that an option names, in a folder that exists."""
    if value and not Path(value).parent.is_dir():
        raise ConfigError(f"{name} is {value}; allowed: a file in a folder that exists.")
    return Path(value) if value else None


def _with_data(measure: Callable[..., Iterator[Row]], data: str | None, epochs: str | None) -> Any:
    """A part that needs a folder of images, given it and the number of epochs."""
    if not data or not all((Path(data) / part).is_dir() for part in ("train", "test")):
        raise ConfigError(f"data is {data or 'unset'}; allowed for accuracy: a folder that holds train/ and test/.")
    if epochs is not None and not (epochs.isdecimal() and int(epochs) >= 1):
        raise ConfigError(f"epochs is {epochs}; allowed: a whole number from 1.")
    return update_wrapper(partial(measure, data=Path(data), epochs=int(epochs) if epochs else None), measure)


def _words(name: str, text: str | None, allowed: tuple[str, ...], default: tuple[str, ...]) -> tuple[str, ...]:
    words = tuple(word.strip() for word in text.split(",")) if text else default
    for word in words:
        if word not in allowed:
            raise ConfigError(f"{name} is {word}; allowed: {', '.join(allowed)}.")
    return words
