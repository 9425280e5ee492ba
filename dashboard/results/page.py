"""Results: what a pre-trained encoder is worth, against the same network from scratch on the same labels."""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st

from dashboard.components import escape
from dashboard.components.live_chart import live_chart
from dashboard.components.table import table
from dashboard.results import answer, figures, rows
from dashboard.results.figures import Arm
from dashboard.shared import asked, formats, jobs, palette, run_labels, store, ui, url_state
from dashboard.shared.copies import line as copies_line
from simclr.curves import metric_info
from simclr.results import index, tables, trials, wording
from simclr.results.arms import ARMS
from simclr.results.tables import Results
from simclr.runs import metrics_csv

PROTOCOLS = (
    f"**kNN**: {run_labels.PROBE_HELP['knn']}\n\n**Linear probe**: {run_labels.PROBE_HELP['linear']}\n\n"
    "**Frozen encoder**: a head on top, trained by gradient steps.\n\n"
    "**Fine-tuned**: all weights, from the pre-trained ones.\n\n"
    "**From scratch**: all weights, from random ones."
)
SEEDS = ("all", "one")
GROUP = "results-group"  # the widget of groups


def read_address(query: url_state.Query) -> dict[str, str]:
    found = {name: text for name, text in url_state.last_values(query).items() if name in ("experiment", "labels")}
    seeds = asked.one_of(query, "seeds", {word: word for word in SEEDS}, "all seeds")
    return found | ({"seeds": seeds} if seeds else {})


VIEW = url_state.View("results", {"experiment": None, "labels": None, "seeds": "all"}, read_address)


def worth(pretraining: index.Summary) -> str:
    """The figure that stands for a pre-training in a list."""
    if pretraining.test_linear is not None:
        return f"linear probe {formats.percent(pretraining.test_linear)}"
    return f"best validation kNN {formats.percent(pretraining.best_knn)}"


def choose(pretrainings: list[index.Summary], place: Any) -> index.Summary:
    """The pre-training looked at: that of the address, else the last one here, else the newest with an answer."""
    by_id = {item.id: item for item in pretrainings}
    if VIEW["experiment"] not in by_id:
        first = tables.to_begin_with(store.get().summaries())
        VIEW["experiment"] = (first or pretrainings[0]).id
    arguments = VIEW.widget("experiment", list(by_id))
    if len(pretrainings) > 1:
        place.selectbox(
            "Pre-training",
            list(by_id),
            format_func=lambda run_id: f"{by_id[run_id].title} · {worth(by_id[run_id])}",
            width=460,
            label_visibility="collapsed",
            **arguments,
        )
    return by_id[VIEW["experiment"]]


def choose_group(place: Any) -> None:
    """A list of groups, whose results are on their own page."""
    known = {group.id: group.title for group in store.all_groups()}
    if not known:
        return

    def leave() -> None:
        if (chosen := st.session_state.pop(GROUP, None)) in known:
            url_state.go("experiments", group=chosen)

    place.selectbox(
        "Experiment",
        list(known),
        index=None,
        format_func=known.__getitem__,
        placeholder="An experiment",
        width=230,
        label_visibility="collapsed",
        key=GROUP,
        on_change=leave,
    )


def found_for(run_id: str, all_seeds: bool) -> tuple[index.Summary, Results] | None:
    """The table as it is now; None if the run is not there any more."""
    summaries = store.get().summaries()
    own = next((item for item in summaries if item.id == run_id), None)
    return None if own is None else (own, tables.results(own, summaries, store.find, all_seeds=all_seeds))


def table_rows(run_id: str, all_seeds: bool) -> list[list[str]]:
    """The table as texts, as it is when the file is asked for."""
    both = found_for(run_id, all_seeds)
    return [["The pre-training is not there any more."]] if both is None else wording.table(both[1])


@st.fragment(run_every=3)
def compared(run_id: str, all_seeds: bool) -> None:
    """Answer, table and label-efficiency curve; it holds no widget, so that it can follow runs that are going on."""
    both = found_for(run_id, all_seeds)
    if both is None:
        return
    own, found = both
    if found.verdicts:
        answer.show(found, own)
    with st.container(border=True):
        shown = [
            rows.cells(
                row, found.evaluations.get(row.runs[0].id, {}), wording.row_of(found.rows, row.fraction, "scratch")
            )
            for row in found.rows
        ]
        table(rows.columns(found.clock), shown, key=f"results-table-{run_id}")
    for sentence in filter(None, [wording.how_sure(found), *wording.notes(found)]):
        st.caption(f":material/info: {escape.markdown(sentence)}")
    arm_rows = [row for row in found.rows if row.protocol in ARMS]
    text = "The test images are looked at once, at the end."
    if arm_rows:
        text = (
            "Every arm with the same seed uses the same labelled images, and from scratch has the budget of full "
            "fine-tuning. In every arm, early stopping and the choice of the best epoch see the whole validation "
            f"split, also at 1 % of the labels. {text}"
        )
    if len(found.trials) > 1:
        text = f"Mean ± standard deviation over seeds, each set against its own from scratch. {text}"
    st.caption(text, help=PROTOCOLS)
    arms = [
        (
            wording.ARM_NAMES[arm],
            palette.ARM_COLORS[arm],
            [(row.fraction, row.accuracy) for row in arm_rows if row.protocol == arm and row.accuracy is not None],
        )
        for arm in ARMS
    ]
    if any(pairs for *_, pairs in arms):
        with st.container(border=True, gap=None):
            st.markdown(
                "**Accuracy and labels**",
                help="How much each way of training gains from more labels. Bars: standard deviation over seeds.",
            )
            live_chart(figures.label_efficiency(arms), f"efficiency-{run_id}", "Accuracy and labels", height=320)


@st.fragment(run_every=2)
def overlaid(run_id: str, all_seeds: bool, fraction: float) -> None:
    """Curves of the arms at one share of the labels."""
    both = found_for(run_id, all_seeds)
    if both is None:
        return
    shown = []
    for arm in ARMS:
        if (row := wording.row_of(both[1].rows, fraction, arm)) is not None:
            paths = [run.metrics_path for item in row.runs if (run := store.find(item.id)) is not None]
            seeds = tuple(metrics_csv.live_columns(path) for path in paths)
            shown.append(Arm(wording.ARM_NAMES[arm], palette.ARM_COLORS[arm], seeds, row.reached))
    several = any(len(arm.seeds) > 1 for arm in shown)
    text = "Thin: training. Thick: validation."
    if several:
        text = "Thin: training. Thick: validation, mean ± standard deviation of the seeds, as far as all of them go."
    if any(arm.reached is not None and arm.reached.num_reached for arm in shown):
        text += f" Rings: where each comes to {wording.LEVEL} of the accuracy with which from scratch ends."
    st.caption(text)
    for column, metric in zip(st.columns(2, gap="small"), ("top1", "loss"), strict=True):
        figure = figures.overlay(shown, metric)
        with column.container(border=True, gap=None):
            st.markdown(f"**{metric_info.METRICS[metric].label}**", help=metric_info.METRICS[metric].help)
            if figure["data"]:
                key = f"arms-{metric}-{run_id}-{fraction:g}-{all_seeds}"
                live_chart(figure, key, metric_info.METRICS[metric].label, height=360)
            else:
                st.caption("No curves yet.")


def choose_seeds(num_others: int, own: index.Summary, place: Any) -> bool:
    """Whether the seeds of all pre-trainings that differ in nothing else are shown; where there are any to choose."""
    if not num_others:
        return True
    names = {"all": f"All {num_others + 1} seeds", "one": f"Seed {own.seed} alone"}
    chosen = place.segmented_control(
        "Seeds",
        list(names),
        format_func=names.__getitem__,
        required=True,
        label_visibility="collapsed",
        **VIEW.widget("seeds", list(names)),
    )
    return chosen != "one"


def page() -> None:
    pretrainings = [item for item in store.get().summaries() if item.kind == "pretrain"]
    right = ui.head("Results")
    is_asked = VIEW.open()
    if is_asked and store.find_group(VIEW["experiment"]) is not None:
        group_id, VIEW["experiment"] = VIEW["experiment"], None
        url_state.go_instead("experiments", group=group_id)  # where the results of a group are
        return
    if is_asked and (named := VIEW["experiment"]) and (why := asked.why_not(named, ("pretrain",))):
        first = tables.to_begin_with(store.get().summaries())
        url_state.say_instead("experiment", named, why, "nothing yet" if first is None else run_labels.label(first))
        VIEW["experiment"] = None
    if not pretrainings:
        st.write(
            "Here pre-trained encoders are compared with networks trained from scratch. Start a pre-training first."
        )
        st.page_link(ui.PAGE_NEW, label="Start a pre-training", icon=":material/play_arrow:")
        return
    choose_group(right)
    own = choose(pretrainings, right)
    summaries = store.get().summaries()
    others = [
        item
        for item in trials.siblings(own, summaries, store.find)
        if trials.comparable(item.id, summaries) or trials.is_tested(item)
    ]
    all_seeds = choose_seeds(len(others), own, right)
    with right:
        jobs.table_menu(partial(table_rows, own.id, all_seeds), index.short_id(own.id))
        jobs.report_menu([own.id])
    found = tables.results(own, summaries, store.find, all_seeds=all_seeds)
    fractions = sorted({row.fraction for row in found.rows if row.protocol in ARMS})
    if found.rows and (run := store.find(own.id)) is not None:
        copies_line.show(run, "check-copies")
    if not fractions:
        if found.rows:
            compared(own.id, all_seeds)
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
    compared(own.id, all_seeds)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
        st.header("Curves of the arms", anchor=False, width="content")
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
    query = {"experiment": own.id, "labels": url_state.text_of(fraction) if fraction != fractions[0] else ""}
    url_state.write(query | ({} if all_seeds else {"seeds": "one"}))
    overlaid(own.id, all_seeds, fraction)
    st.page_link(
        ui.PAGE_RUN, query_params={"id": own.id}, label="Open the pre-training", icon=":material/arrow_forward:"
    )


if __name__ == "__main__":  # Streamlit runs a page as the main module
    page()
