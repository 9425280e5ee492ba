"""Health of a pre-training on the Run page: what its probe images showed after each epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import streamlit as st

from dashboard.components.live_chart import live_chart
from dashboard.run import verdict_panel
from dashboard.run.figures import histograms, plane, spectrum, spread, with_cursor
from dashboard.run.view_state import VIEW, write_address
from dashboard.shared import figures, formats, store, url_state
from simclr.curves import metric_info, smoothing
from simclr.evaluation import health
from simclr.results import index
from simclr.runs import Run, metrics_csv
from simclr.runs.health_log import Row

HEIGHT = 240
HELP = {
    "plane": "Both are better the lower they are, so a good run moves to the lower left: views of one image come "
    "together (alignment) while all images stay spread (uniformity). A path up to uniformity 0 is a collapse; "
    "one that stands still with alignment near 0 has views that are too alike. Of z at length 1 (Wang and Isola 2020).",
    "histogram": "Cosine similarities of z for two views of one image, and for views of different images. Good: two "
    "humps that part. Bad: one hump over the other (nothing is told apart), or both at 1 (collapse). Overlap is the "
    "area they share, 1 for the same and 0 for apart; d' is the distance of their means in standard deviations. Some "
    "negatives show the same kind of thing and are rightly similar (Wang and Liu 2021).",
    "spectrum": "Singular values of the covariance of h and of z, relative to the largest. Good: a gentle slope. A "
    "cliff means that the directions beyond it are unused: dimensional collapse, normal to a degree in z, bad in h. "
    "The faint lines are the first epoch. Fewer images than features end the line early (Jing et al. 2022).",
    "std": "Standard deviation of the features of rows at length 1, times sqrt(d): 1 where they are spread evenly over "
    "the sphere, 0 where all images are one point. It shows a full collapse, not a dimensional one. h is not centred, "
    "so it lies lower (Chen and He 2021).",
    "effective_rank": "How many directions h and z really use, at most the smaller of features and images. Near 1 is "
    "collapse. Compare runs of one method and one network only, on the same images (Roy and Vetterli 2007; RankMe, "
    "Garrido et al. 2023, who use some 25,000 images).",
    "similarity": "Mean cosine similarity of two views of one image, and of views of different images. Good: the first "
    "near 1, the second near 0, and far from each other (Wang and Liu 2021).",
}


def epochs_of(rows: Sequence[Row], columns: smoothing.Columns) -> list[int]:
    """Epochs after which something was measured on validation images."""
    numbers = np.asarray(columns.get("epoch", ()), dtype=np.float64)
    measured, _ = smoothing.finite_points(numbers, columns.get("val/alignment", ()))
    return sorted({row.epoch for row in rows} | {int(epoch) for epoch in measured if epoch == int(epoch)})


def epoch_asked(text: str, epochs: Sequence[int]) -> int:
    """The epoch that an address names, or the one nearest to it; without one, the last."""
    if not text.isdecimal() or len(text) > 9:
        return epochs[-1]
    return min(epochs, key=lambda epoch: abs(epoch - int(text)))


# --- the page's parts -----------------------------------------------------------------------------------------------


def section(run_id: str, active: bool) -> None:
    """The panel; it follows a run that is going on, and the slider draws it alone again."""
    st.fragment(run_every=3 if active else None)(_section)(run_id)


def _section(run_id: str) -> None:
    run = store.find(run_id)
    if run is None:
        return
    summary = store.get().summary(run)
    rows, columns = verdict_panel.rows_of(run), metrics_csv.live_columns(run.metrics_path)
    epochs = epochs_of(rows, columns)
    if not epochs:
        nothing(run, summary)
        return
    epoch = choose(run.id, epochs)
    write_address("health")
    if epoch != epochs[-1]:  # the last one's is said on top of the page
        found = verdict_panel.verdict_of(run, summary, epoch)
        verdict_panel.line(found, health.PRETRAIN_RULES, f"health-verdict-{run.id}", before=f"After epoch {epoch}: ")
    if not rows:
        st.caption(
            "This run kept no histograms and no spectra (it was trained before these were kept, or its health.jsonl is "
            "gone): what is below comes from metrics.csv."
        )
    elif epoch not in {row.epoch for row in rows}:
        st.caption(f"Histograms and spectra of epoch {epoch} were not kept.")
    draw(run, rows, columns, epoch)
    st.caption(about(rows, epoch))


def nothing(run: Run, summary: index.Summary) -> None:
    """Why there is nothing to draw, in a sentence."""
    has_none = run.config.get("val_fraction") == 0 or (not summary.is_active and summary.status.epoch > 1)
    if has_none:
        st.caption("It had no validation images, so there is no probe set; the verdict is by training ranks alone.")
    else:
        st.caption(
            "The first epoch is not over; its health is shown then."
            if summary.is_active
            else "It ended within its first epoch, so there is nothing to show."
        )


def choose(run_id: str, epochs: Sequence[int]) -> int:
    """The epoch shown, which the address names; the last one is followed while new ones come."""
    chosen = epoch_asked(VIEW["epoch"], epochs)
    if VIEW["epoch"] not in ("", *map(str, epochs)):
        url_state.say_instead("epoch", VIEW["epoch"], "has no health here", f"epoch {chosen}")
        VIEW["epoch"] = "" if chosen == epochs[-1] else str(chosen)
    if len(epochs) < 2:
        st.caption(f"Only epoch {epochs[0]} was measured so far, so there is no course to see yet.")
        return chosen
    key = f"health-epoch-{run_id}-{epochs[-1]}"  # a new one with each epoch: it is made with its options

    def moved() -> None:
        VIEW["epoch"] = "" if st.session_state[key] == epochs[-1] else str(st.session_state[key])

    options = list(epochs)
    picked = st.select_slider(
        "Epoch",
        options,
        value=chosen,
        key=key,
        on_change=moved,
        help="All plots of this section show this epoch. Arrow keys move it.",
    )
    return int(picked)


def draw(run: Run, rows: list[Row], columns: smoothing.Columns, epoch: int) -> None:
    color = store.colors([run.id])[run.id]
    drawn: list[tuple[str, str, dict[str, Any] | None]] = [("plane", "Alignment and uniformity", plane(columns, epoch))]
    if rows:
        drawn += [
            ("histogram", "Similarities of pairs", histograms(rows, epoch)),
            ("spectrum", "Spectrum", spectrum(rows, epoch)),
            ("std", "Spread of the features", spread(rows, epoch)),
        ]
    for metric in ("effective_rank",) if rows else ("similarity", "effective_rank"):
        figure = figures.run_figure(columns, metric, color)
        drawn.append(
            (metric, metric_info.METRICS[metric].label, with_cursor(figure, epoch) if figure["data"] else None)
        )
    shown = [(name, title, figure) for name, title, figure in drawn if figure is not None]
    per_row = 3 if len(shown) > 4 or len(shown) == 3 else 2
    for start in range(0, len(shown), per_row):
        for column, (name, title, figure) in zip(
            st.columns(per_row, gap="small"), shown[start : start + per_row], strict=False
        ):
            with column.container(border=True, gap=None):
                st.markdown(f"**{title}**", help=HELP[name])
                live_chart(figure, f"health-{run.id}-{name}", title, height=HEIGHT)


def about(rows: Sequence[Row], epoch: int) -> str:
    """What was measured on which images."""
    row = next((row for row in rows if row.epoch == epoch), None)
    if row is None:
        return "Measured on validation images, the same ones and the same two views after every epoch."
    images = formats.thousands(row.images)
    return (
        f"Measured on {images} validation images, the same ones and the same two views after every epoch. h has "
        f"{row.h.dim} features and uses {_text(row.h.effective_rank)} directions, z has {row.z.dim} and uses "
        f"{_text(row.z.effective_rank)}; at most {min(row.images - 1, row.h.dim)} and {min(row.images - 1, row.z.dim)} "
        "are possible."
    )


def _text(value: float | None) -> str:
    return "an unknown number of" if value is None else f"{value:.1f}"
