"""Results: what a pre-trained encoder is worth, against the same network from scratch on the same labels."""

from __future__ import annotations

import streamlit as st

from dashboard.components import escape
from dashboard.components.live_chart import live_chart
from dashboard.components.table import table
from dashboard.results import figures
from dashboard.shared import formats, palette, run_labels, store, ui, url_state
from simclr.results import index, metric_info, statistics, tables
from simclr.results.arms import ARMS
from simclr.runs import metrics_csv

ARM_COLORS = {
    "frozen": palette.PALETTE[2],
    "full": palette.PALETTE[0],
    "scratch": palette.PALETTE[1],
    "linear": palette.PALETTE[3],
    "knn": palette.PALETTE[4],
}
COLUMNS = [
    {
        "key": "arm",
        "label": "Trained",
        "sortable": False,
        "help": "What of the network was trained, and how.",
    },
    {"key": "labels", "label": "Labels", "align": "right", "sortable": False},
    {
        "key": "accuracy",
        "label": "Accuracy",
        "help": "On the test images, which were looked at once.",
        "align": "right",
        "sortable": False,
    },
    {
        "key": "difference",
        "label": "Against scratch",
        "align": "right",
        "sortable": False,
        "rank": 2,
        "help": "Test accuracy minus that of the from-scratch run on the same labels, in percentage points.",
    },
    {"key": "loss", "label": "Test loss", "align": "right", "sortable": False, "rank": 2},
    {"key": "budget", "label": "Budget", "sortable": False, "wrap": True, "rank": 3},
    {"key": "seed", "label": "Seed", "align": "right", "sortable": False, "rank": 3},
]
ARM_NAMES = {  # in the order of the rows: the more is trained, the lower
    "knn": "kNN",
    "linear": "Linear probe",
    "frozen": "Frozen encoder",
    "full": "Fine-tuned",
    "scratch": "From scratch",
}
PROTOCOLS = (
    f"**kNN**: {run_labels.PROBE_HELP['knn']}\n\n**Linear probe**: {run_labels.PROBE_HELP['linear']}\n\n"
    "**Frozen encoder**: a head on top, trained by gradient steps.\n\n"
    "**Fine-tuned**: all weights, from the pre-trained ones.\n\n"
    "**From scratch**: all weights, from random ones."
)


def read_address(query: url_state.Query) -> dict[str, str]:
    return {name: text for name, text in url_state.last_values(query).items() if name in ("experiment", "labels")}


VIEW = url_state.View("results", {"experiment": None, "labels": None}, read_address)


def cells(row: tables.ResultRow, evaluation: dict) -> dict:
    """A row of the table, as the component takes it; `evaluation` holds the test figures of its run."""
    item, accuracy = row.summary, row.accuracy
    is_probe = row.protocol in run_labels.PROBE_HELP
    labels = f" · {formats.thousands(row.num_labels)}" if row.num_labels else ""
    return {
        "href": url_state.address("run", id=item.id),
        "best": row.is_best,
        "tight": not row.is_last,
        "arm": {"text": ARM_NAMES[row.protocol], "color": ARM_COLORS[row.protocol], "title": item.id},
        "labels": {"text": formats.fraction_text(row.fraction) + labels},
        "accuracy": {
            "text": formats.percent(accuracy) if accuracy is not None else run_labels.STATE_LABELS[item.state],
            "strong": row.is_best,
        },
        "difference": {"text": formats.points(row.gain)},
        "loss": {"text": formats.decimal(row.loss)},
        "budget": {"text": probe_budget(row.protocol, evaluation) if is_probe else budget(item, evaluation)},
        "seed": {"text": "–" if item.seed is None else str(item.seed)},
    }


def budget(item: index.Summary, evaluation: dict) -> str:
    if isinstance(evaluation.get("budget"), str):
        return evaluation["budget"]
    return f"{item.status.epochs} epochs" if item.status.epochs else "–"


def probe_budget(name: str, evaluation: dict) -> str:
    """What went into a linear probe or kNN, as far as the record tells."""
    protocols = evaluation.get("protocols")
    about = protocols.get(name) if isinstance(protocols, dict) else None
    about = about if isinstance(about, dict) else {}
    if name == "knn":
        neighbors, temperature = (
            index.finite_number(about.get("num_neighbors")),
            index.finite_number(about.get("temperature")),
        )
        known = neighbors is not None and temperature is not None
        return f"{neighbors:g} neighbours, temperature {temperature:g}; nothing trained." if known else "–"
    strength, num_val = index.finite_number(about.get("l2")), index.finite_number(about.get("num_val"))
    if strength is None:
        return "–"
    images = formats.thousands(num_val) if num_val else ""
    return f"L2 strength {strength:.2g}" + (f", chosen on {images} validation images." if images else ".")


def verdict_sentence(found: statistics.Verdict) -> str:
    """The answer in one sentence."""
    sign = "more" if found.gain >= 0 else "less"
    return (
        f"With {formats.fraction_text(found.fraction)} of the labels, the pre-trained encoder reaches "
        f"**{formats.percent(found.pretrained)}**: {abs(100 * found.gain):.1f} points {sign} than the same network "
        f"from scratch ({formats.percent(found.scratch)})."
    )


def worth(pretraining: index.Summary) -> str:
    """The figure that stands for a pre-training in a list."""
    if pretraining.test_linear is not None:
        return f"linear probe {formats.percent(pretraining.test_linear)}"
    return f"kNN {formats.percent(pretraining.best_knn)}"


def choose(pretrainings: list[index.Summary]) -> index.Summary:
    """The pre-training looked at: the address first, then what this session looked at, then the newest with results."""
    by_id = {item.id: item for item in pretrainings}
    if VIEW["experiment"] not in by_id:
        with_results = [item for item in pretrainings if store.partners(item.id)]
        VIEW["experiment"] = (with_results or pretrainings)[0].id
    arguments = VIEW.widget("experiment", list(by_id))
    if len(pretrainings) > 1:
        st.selectbox(
            "Pre-training",
            list(by_id),
            format_func=lambda run_id: f"{by_id[run_id].title} · {worth(by_id[run_id])}",
            **arguments,
        )
    return by_id[VIEW["experiment"]]


@st.fragment(run_every=3)
def compared(run_id: str) -> None:
    """Table and label-efficiency curve; it holds no widget, so that it can follow runs that are going on."""
    run = store.find(run_id)
    if run is None:
        return
    picked = tables.arm_runs(tables.comparable(run_id, store.get().summaries()))
    evaluations = {item.id: other.evaluation for item in picked.values() if (other := store.find(item.id))}
    evaluations[run_id] = run.evaluation
    if found := statistics.verdict(picked):
        with st.container(key="verdict"):
            st.markdown(verdict_sentence(found))
    with st.container(border=True):
        rows = tables.result_rows(picked, evaluations, store.get().summary(run))
        shown = [cells(row, evaluations.get(row.summary.id, {})) for row in rows]
        table(COLUMNS, shown, key=f"results-table-{run_id}")
    text = "The test images are looked at once, at the end."
    if picked:
        text = (
            "Every arm with the same seed uses the same labelled images, and from scratch has the budget of full "
            "fine-tuning. In every arm, early stopping and the choice of the best epoch see the whole validation "
            f"split, also at 1 % of the labels. {text}"
        )
    st.caption(text, help=PROTOCOLS)
    if any(item.test_accuracy is not None for item in picked.values()):
        arms = [
            (
                ARM_NAMES[arm],
                ARM_COLORS[arm],
                [
                    (fraction, item.test_accuracy)
                    for (fraction, other), item in picked.items()
                    if other == arm and item.test_accuracy is not None
                ],
            )
            for arm in ARMS
        ]
        with st.container(border=True, gap=None):
            st.markdown("**Accuracy and labels**", help="How much each way of training gains from more labels.")
            live_chart(figures.label_efficiency(arms), key=f"efficiency-{run_id}", height=320)


@st.fragment(run_every=2)
def overlaid(run_ids: tuple[tuple[str, str], ...]) -> None:
    st.caption("Dotted: training. Solid: validation.")
    for column, metric in zip(st.columns(2, gap="small"), ("top1", "loss"), strict=True):
        shown = []
        for run_id, arm in run_ids:
            if run := store.find(run_id):
                shown.append((ARM_NAMES[arm], ARM_COLORS[arm], metrics_csv.live_columns(run.metrics_path)))
        figure = figures.overlay(shown, metric)
        with column.container(border=True, gap=None):
            st.markdown(f"**{metric_info.METRICS[metric].label}**", help=metric_info.METRICS[metric].help)
            if figure["data"]:
                live_chart(figure, key=f"arms-{metric}-{'-'.join(run_id for run_id, _ in run_ids)}", height=360)
            else:
                st.caption("No curves yet.")


def page() -> None:
    pretrainings = [item for item in store.get().summaries() if item.kind == "pretrain"]
    ui.head("Results")
    if not pretrainings:
        st.write(
            "Here pre-trained encoders are compared with networks trained from scratch. Start a pre-training first."
        )
        st.page_link(ui.PAGE_NEW, label="Start a pre-training", icon=":material/play_arrow:")
        return
    if VIEW.open() and VIEW["experiment"] not in (None, *(item.id for item in pretrainings)):
        st.warning(escape.markdown(f"There is no pre-training {VIEW['experiment']} here; another is shown."))
    own = choose(pretrainings)
    partners = tables.comparable(own.id, store.get().summaries())
    if not partners:
        if own.test_knn is not None or own.test_linear is not None:
            compared(own.id)
        with st.container(border=True):
            st.markdown(f"Nothing was trained on **{escape.markdown(own.title)}** yet.")
            st.caption(
                "Its page offers three runs, one click each: frozen encoder, full fine-tuning, from scratch."
                if not own.is_active
                else "It is still training. When it is done, its page offers what comes next."
            )
            st.page_link(
                ui.PAGE_RUN, query_params={"id": own.id}, label="Open the pre-training", icon=":material/arrow_forward:"
            )
        url_state.write({"experiment": own.id})
        return
    compared(own.id)
    picked = tables.arm_runs(partners)
    fractions = tables.label_fractions(partners)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
        st.subheader("Curves of the arms", anchor=False, width="content")
        fraction = (
            fractions[0]
            if len(fractions) == 1
            else st.segmented_control(
                "Labels used",
                fractions,
                format_func=formats.fraction_text,
                required=True,
                **VIEW.widget("labels", fractions, fractions[0]),
            )
            or fractions[0]
        )
    url_state.write({"experiment": own.id, "labels": url_state.text_of(fraction) if fraction != fractions[0] else ""})
    overlaid(tuple((item.id, arm) for (other, arm), item in picked.items() if other == fraction))
    st.page_link(
        ui.PAGE_RUN, query_params={"id": own.id}, label="Open the pre-training", icon=":material/arrow_forward:"
    )


if __name__ == "__main__":  # Streamlit runs a page as the main module
    page()
