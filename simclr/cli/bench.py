"""The command `bench`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from simclr.cli.parser import command_parser, parse
from simclr.config import ConfigError

PEERS = ("lightly", "sklearn")


def bench(arguments: list[str]) -> int:
    """Measures what is asked for and prints it as it comes; returns the exit status.

    Raises:
        ConfigError: for bad input, or a peer that is not installed.
    """
    from simclr.bench.growth import CostCurve, cost_curves, draw
    from simclr.bench.parts import PARTS
    from simclr.bench.timing import Row, machine

    parser = command_parser("bench")
    texts = {
        "only": f"Parts, separated by commas: {', '.join(PARTS)}. Default: all.",
        "against": f"Peers to compare with where they are installed, separated by commas: {', '.join(PEERS)}.",
        "repeats": "Turns of each comparison, 2 to 100. Default: 5.",
        "plot": "FILE.html to draw time and memory against batch, image and data size into; takes minutes more.",
        "json": "FILE.json for all figures, with the machine.",
    }
    for name, text in texts.items():
        parser.add_argument(f"--{name}", type=str, metavar="FILE" if name in ("plot", "json") else "VALUE", help=text)
    options = parse(parser, arguments)

    parts = _words("only", options.only, tuple(PARTS), tuple(PARTS))
    peers = _words("against", options.against, PEERS, ())
    repeats = int(options.repeats) if str(options.repeats or "5").isdecimal() and options.repeats else 5
    if options.repeats and not (str(options.repeats).isdecimal() and 2 <= repeats <= 100):
        raise ConfigError(f"repeats is {options.repeats}; allowed: a whole number from 2 to 100.")
    files = {name: Path(value) for name in ("plot", "json") if (value := getattr(options, name))}
    for name, path in files.items():
        if not path.parent.is_dir():
            raise ConfigError(f"{name} is {path}; allowed: a file in a folder that exists.")
    for peer in peers:
        try:
            __import__(peer)
        except ImportError:
            raise ConfigError(f"against is {peer}, which is not installed; pip install {peer}.") from None

    print(", ".join(f"{key} {value}" for key, value in machine().items() if value is not None), flush=True)
    rows: list[Row] = []
    for part in parts:
        print(f"\n{(PARTS[part].__doc__ or '').splitlines()[0]}", flush=True)
        for row in PARTS[part](peers, repeats):
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


def _words(name: str, text: str | None, allowed: tuple[str, ...], default: tuple[str, ...]) -> tuple[str, ...]:
    words = tuple(word.strip() for word in text.split(",")) if text else default
    for word in words:
        if word not in allowed:
            raise ConfigError(f"{name} is {word}; allowed: {', '.join(allowed)}.")
    return words
