"""Results: what a pre-trained encoder is worth, against the same network from scratch on the same labels."""

from __future__ import annotations

import streamlit as st

from dashboard.components import escape
from dashboard.components.live_chart import live_chart
from dashboard.components.table import table
from dashboard.shared import charts, store, ui

ARM_COLORS = {
    "frozen": store.PALETTE[2],
    "full": store.PALETTE[0],
    "scratch": store.PALETTE[1],
    "linear": store.PALETTE[3],
    "knn": store.PALETTE[4],
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
    f"**kNN**: {store.PROBE_HELP['knn']}\n\n**Linear probe**: {store.PROBE_HELP['linear']}\n\n"
    "**Frozen encoder**: a head on top, trained by gradient steps.\n\n"
    "**Fine-tuned**: all weights, from the pre-trained ones.\n\n"
    "**From scratch**: all weights, from random ones."
)
CHOICE = "results_choice"


def fractions_of(partners: list[store.Summary]) -> list[float]:
    return sorted({item.label_fraction for item in partners if item.label_fraction is not None})


def chosen(partners: list[store.Summary]) -> dict[tuple[float, str], store.Summary]:
    """The run that stands for each label fraction and arm: the newest that has a result, else the newest."""
    found: dict[tuple[float, str], store.Summary] = {}
    for fraction in fractions_of(partners):
        for arm in store.ARMS:
            same = [item for item in partners if item.arm == arm and item.label_fraction == fraction]
            if same:
                found[fraction, arm] = next((item for item in same if item.test_accuracy is not None), same[0])
    return found


def comparable(run_id: str) -> list[store.Summary]:
    """The partners of a pre-training that were trained on its data; accuracies on other data say nothing beside it."""
    own = next((item for item in store.get().summaries() if item.id == run_id), None)
    return [item for item in store.partners(run_id) if own is not None and item.dataset == own.dataset]


def rows(
    picked: dict[tuple[float, str], store.Summary], evaluations: dict[str, dict], own: store.Summary | None = None
) -> list[dict]:
    """The table: a row per label fraction and arm, the best of each fraction marked.

    The best is marked only where at least two rows have a result.

    Args:
        evaluations: the test figures by run id, those of `own` too.
        own: the pre-training, whose linear probe and kNN stand with the arms that use all labels.
    """
    accuracies = {place: (item, item.test_accuracy) for place, item in picked.items()}
    if own is not None:
        probes = {"knn": own.test_knn, "linear": own.test_linear}
        accuracies |= {(1.0, name): (own, value) for name, value in probes.items() if value is not None}
    found = []
    for fraction, arm in sorted(accuracies, key=lambda place: (place[0], list(ARM_NAMES).index(place[1]))):
        item, accuracy = accuracies[fraction, arm]
        group = {name: value for (share, name), (_, value) in accuracies.items() if share == fraction}
        results = [value for value in group.values() if value is not None]
        is_best = accuracy is not None and len(results) > 1 and accuracy == max(results)
        scratch = group.get("scratch")
        other = picked.get((fraction, "scratch"))
        if other is not None:
            counts = [evaluations.get(run.id, {}).get("num_labels") for run in (item, other)]
            if other.seed != item.seed or (None not in counts and counts[0] != counts[1]):
                scratch = None  # not the same labels
        gain = None if arm == "scratch" or scratch is None or accuracy is None else accuracy - scratch
        evaluation = evaluations.get(item.id, {})
        labels = store.number(evaluation.get("num_labels"))
        loss = {"linear": "test/linear_loss", "knn": None}.get(arm, "test/loss")
        found.append(
            {
                "href": store.run_address(item.id),
                "best": is_best,
                "tight": arm != max(group, key=list(ARM_NAMES).index),
                "arm": {"text": ARM_NAMES[arm], "color": ARM_COLORS[arm], "title": item.id},
                "labels": {
                    "text": store.fraction_text(fraction) + (f" · {labels:,.0f}".replace(",", " ") if labels else "")
                },
                "accuracy": {
                    "text": store.percent(accuracy) if accuracy is not None else store.STATE_LABELS[item.state],
                    "strong": is_best,
                },
                "difference": {"text": points(gain)},
                "loss": {"text": store.decimal(store.number(evaluation.get(loss)) if loss else None)},
                "budget": {"text": probe_budget(arm, evaluation) if item is own else budget(item, evaluation)},
                "seed": {"text": "–" if item.seed is None else str(item.seed)},
            }
        )
    return found


def points(gain: float | None) -> str:
    """A difference of accuracies in percentage points: `+12.0 pp`; nothing is neither plus nor minus."""
    if gain is None:
        return "–"
    return "0.0 pp" if abs(gain) < 5e-4 else f"{100 * gain:+.1f} pp"


def budget(item: store.Summary, evaluation: dict) -> str:
    if isinstance(evaluation.get("budget"), str):
        return evaluation["budget"]
    return f"{item.status.epochs} epochs" if item.status.epochs else "–"


def probe_budget(name: str, evaluation: dict) -> str:
    """What went into a linear probe or kNN, as far as the record tells."""
    protocols = evaluation.get("protocols")
    about = protocols.get(name) if isinstance(protocols, dict) else None
    about = about if isinstance(about, dict) else {}
    if name == "knn":
        neighbors, temperature = store.number(about.get("num_neighbors")), store.number(about.get("temperature"))
        known = neighbors is not None and temperature is not None
        return f"{neighbors:g} neighbours, temperature {temperature:g}; nothing trained." if known else "–"
    strength, num_val = store.number(about.get("l2")), store.number(about.get("num_val"))
    if strength is None:
        return "–"
    images = f"{num_val:,.0f}".replace(",", " ") if num_val else ""
    return f"L2 strength {strength:.2g}" + (f", chosen on {images} validation images." if images else ".")


def verdict(picked: dict[tuple[float, str], store.Summary]) -> str:
    """The answer in one sentence, at the smallest label fraction where both sides have a result."""
    for fraction in sorted({fraction for fraction, _ in picked}):
        scratch = picked.get((fraction, "scratch"))
        ours = [picked[fraction, arm] for arm in ("frozen", "full") if (fraction, arm) in picked]
        ours = [item for item in ours if item.test_accuracy is not None]
        if scratch is None or scratch.test_accuracy is None or not ours:
            continue
        top = max(ours, key=lambda item: item.test_accuracy or 0)
        gain = 100 * ((top.test_accuracy or 0) - scratch.test_accuracy)
        sign = "more" if gain >= 0 else "less"
        return (
            f"With {store.fraction_text(fraction)} of the labels, the pre-trained encoder reaches "
            f"**{store.percent(top.test_accuracy)}**: {abs(gain):.1f} points {sign} than the same network from scratch "
            f"({store.percent(scratch.test_accuracy)})."
        )
    return ""


def worth(pretraining: store.Summary) -> str:
    """The figure that stands for a pre-training in a list."""
    if pretraining.test_linear is not None:
        return f"linear probe {store.percent(pretraining.test_linear)}"
    return f"kNN {store.percent(pretraining.best_knn)}"


def choose(pretrainings: list[store.Summary]) -> store.Summary:
    """The pre-training looked at: the address first, then what this session looked at, then the newest with results."""
    by_id = {item.id: item for item in pretrainings}
    asked = st.query_params.get("experiment")
    kept = st.session_state.setdefault(CHOICE, {"id": None, "generation": 0})
    if asked in by_id and asked != kept["id"]:
        kept["id"] = asked
        kept["generation"] += 1
    if kept["id"] not in by_id:
        with_results = [item for item in pretrainings if store.partners(item.id)]
        kept["id"] = (with_results or pretrainings)[0].id
    if len(pretrainings) > 1:
        kept["id"] = st.selectbox(
            "Pre-training",
            list(by_id),
            index=list(by_id).index(kept["id"]),
            key=f"results-{kept['generation']}",
            format_func=lambda run_id: f"{by_id[run_id].title} · {worth(by_id[run_id])}",
        )
    if st.query_params.get("experiment") != kept["id"]:
        st.query_params["experiment"] = kept["id"]
    return by_id[kept["id"]]


@st.fragment(run_every=3)
def compared(run_id: str) -> None:
    """Table and label-efficiency curve; it holds no widget, so that it can follow runs that are going on."""
    run = store.find(run_id)
    if run is None:
        return
    picked = chosen(comparable(run_id))
    evaluations = {item.id: other.evaluation for item in picked.values() if (other := store.find(item.id))}
    evaluations[run_id] = run.evaluation
    if sentence := verdict(picked):
        with st.container(key="verdict"):
            st.markdown(sentence)
    with st.container(border=True):
        table(COLUMNS, rows(picked, evaluations, store.get().summary(run)), key=f"results-table-{run_id}")
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
            for arm in store.ARMS
        ]
        with st.container(border=True, gap=None):
            st.markdown("**Accuracy and labels**", help="How much each way of training gains from more labels.")
            live_chart(charts.label_efficiency(arms), key=f"efficiency-{run_id}", height=320)


@st.fragment(run_every=2)
def overlaid(run_ids: tuple[tuple[str, str], ...]) -> None:
    st.caption("Dotted: training. Solid: validation.")
    for column, metric in zip(st.columns(2, gap="small"), ("top1", "loss"), strict=True):
        shown = []
        for run_id, arm in run_ids:
            if run := store.find(run_id):
                shown.append((ARM_NAMES[arm], ARM_COLORS[arm], store.get().columns(run)))
        figure = charts.overlay(shown, metric)
        with column.container(border=True, gap=None):
            st.markdown(f"**{charts.METRICS[metric].label}**", help=charts.METRICS[metric].help)
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
    own = choose(pretrainings)
    partners = comparable(own.id)
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
        return
    compared(own.id)
    picked = chosen(partners)
    fractions = fractions_of(partners)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
        st.subheader("Curves of the arms", anchor=False, width="content")
        fraction = (
            fractions[0]
            if len(fractions) == 1
            else st.segmented_control(
                "Labels used",
                fractions,
                format_func=store.fraction_text,
                default=fractions[0],
                required=True,
                key=f"results-fraction-{own.id}-{len(fractions)}",
            )
            or fractions[0]
        )
    overlaid(tuple((item.id, arm) for (other, arm), item in picked.items() if other == fraction))
    st.page_link(
        ui.PAGE_RUN, query_params={"id": own.id}, label="Open the pre-training", icon=":material/arrow_forward:"
    )


if __name__ == "__main__":  # Streamlit runs a page as the main module
    page()
