"""What a finished pre-training is for: its three partners, started by one click, and their results side by side."""

from __future__ import annotations

import streamlit as st

from dashboard.components import escape
from dashboard.shared import formats, run_labels, store, ui, url_state
from simclr.config import ConfigError
from simclr.experiments import partners
from simclr.files import safe_read
from simclr.results import arms, index
from simclr.runs import Run

TITLES = {
    "frozen": ("Frozen encoder", "The encoder stays as it is; a linear layer learns on its features."),
    "full": ("Fine-tuned", "Encoder and classifier are trained together."),
    "scratch": ("From scratch, same labels", "The same network from random weights: what it is compared with."),
}
START = {3: "Start all three", 2: "Start the other two", 1: "Start the missing one"}


def _first_fraction(run: Run) -> float:
    """The share of labels of the newest partner, if any, so that what is there is seen; 1 % else."""
    newest = next(iter(store.partners(run.id)), None)
    fraction = newest.label_fraction if newest is not None else None
    return fraction if fraction in arms.LABEL_FRACTIONS else 0.01


def next_steps(run: Run, summary: index.Summary) -> None:
    """The three partners on the same labels: what is not there yet is started together."""
    with st.container(border=True, key="next-steps"):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
            with st.container(width="content", gap=None):
                st.header("Next steps", anchor=False, width="content")
                st.caption("What is the encoder worth, with few labels, against the same network without it?")
            fraction = st.segmented_control(
                "Labels used",
                arms.LABEL_FRACTIONS,
                format_func=formats.fraction_text,
                default=_first_fraction(run),
                required=True,
                key=f"next-fraction-{run.id}",
                persist_state="session",
            )
        fraction = fraction or 0.01
        try:
            found = partners.partners_there(run, fraction, store.get().summaries(), store.runs_dir())
        except ConfigError as error:
            st.error(escape.markdown(str(error)))
            return
        scratch = found["scratch"]
        base = scratch.test_accuracy if scratch is not None else None
        for column, arm in zip(st.columns(3, gap="medium"), arms.ARMS, strict=True):
            with column.container(height="stretch", border=True, gap="small", key=f"arm-{arm}"):
                _arm(run, arm, fraction, found[arm], base)
        missing = sum(partners.is_missing(partner) for partner in found.values())
        if missing:
            _start(run, fraction, missing)
        with st.container(horizontal=True, gap="medium"):
            if store.partners(run.id):
                st.page_link(
                    "results/page.py",
                    label="All results",
                    icon=":material/table_chart:",
                    query_params={"experiment": run.id},
                )
            st.page_link(
                "embeddings/page.py",
                label="Compare embeddings",
                icon=":material/scatter_plot:",
                query_params={"left": run.id},
            )


def _start(run: Run, fraction: float, missing: int) -> None:
    """The button, and beside it with which settings it starts what."""
    with st.container(horizontal=True, vertical_alignment="center", gap="medium", key="next-start"):
        st.button(
            START[missing],
            key="partners-start",
            type="primary",
            icon=":material/play_arrow:",
            on_click=start,
            args=(run.id, fraction),
        )
        with st.container(width="stretch"):
            st.caption(escape.markdown(settings(run, fraction)))


def settings(run: Run, fraction: float) -> str:
    """With what the partners are started, in two sentences."""
    configs = {arm: partners.config_of(run, arm, fraction) for arm in arms.ARMS}
    count = safe_read.finite_number(run.meta.get("num_train_images"))
    number = max(1, round((count or 0) * fraction))
    images = f" (about {formats.thousands(number)} image{'s' * (number > 1)})" if count else ""
    budgets: dict[str, list[str]] = {}
    for arm, config in configs.items():
        limit = f", at most {formats.thousands(config.max_steps)} steps" if config.max_steps else ""
        budget = f"{config.epochs} epochs in batches of up to {config.batch_size}{limit}"
        budgets.setdefault(budget, []).append(TITLES[arm][0].lower())
    several = "; ".join(f"{' and '.join(names)} {budget}" for budget, names in budgets.items())
    recipe = arms.guess_recipe(run.config, run.meta.get("recipe"))
    return (
        f"Each with {formats.fraction_text(fraction)} of the labels{images} and seed {configs['scratch'].seed}: "
        f"{next(iter(budgets)) if len(budgets) == 1 else several}, as in the recipe {recipe}. They wait for a free "
        "device and run whether or not this page is open."
    )


def start(run_id: str, fraction: float) -> None:
    """Starts what is not there, looked up again at this moment: the page may be older than what it shows."""
    run = store.find(run_id)
    if run is not None:
        with ui.report_errors():
            partners.start_missing(run, fraction, store.runs_dir(), store.get().summaries(max_age=0.0))


def _arm(run: Run, arm: str, fraction: float, partner: index.Summary | None, base: float | None) -> None:
    """One partner: its result, how far it is, or what it would be."""
    title, text = TITLES[arm]
    if partner is not None and partner.test_accuracy is not None:
        gain = partner.test_accuracy - base if arm != "scratch" and base is not None else None
        with st.container(horizontal=True, vertical_alignment="bottom", gap=None):
            st.metric(
                title,
                formats.percent(partner.test_accuracy),
                delta=f"{formats.points(gain)} against from scratch" if gain is not None else None,
                help=f"Accuracy on the test images. {text}",
                width="stretch",
            )
            run_link("Open", partner.id, ":material/arrow_forward:")
        return
    st.markdown(f"**{title}**")
    if partner is None:
        st.caption(text)
        st.page_link(
            ui.PAGE_NEW,
            label="With other settings",
            icon=":material/tune:",
            query_params=new_run_address(run, arm, fraction),
        )
        return
    if partner.is_active:
        st.progress(partner.status.progress, text=f"{100 * partner.status.progress:.0f} %")
    run_link(run_labels.STATE_LABELS[partner.state], partner.id, ":material/arrow_forward:")
    if partner.state == "failed" and partner.status.error:
        st.caption(escape.markdown(partner.status.error))


def new_run_address(run: Run, arm: str, fraction: float) -> dict[str, str]:
    """Where the New run page has the form of this partner filled in."""
    recipe = arms.guess_recipe(run.config, run.meta.get("recipe"))
    kind = "scratch" if arm == "scratch" else "finetune"
    return {"kind": kind, "arm": arm, "recipe": recipe, "experiment": run.id, "label_fraction": f"{fraction:g}"}


def run_link(label: str, run_id: str, icon: str) -> None:
    """Leads to another run. A page link would show it too, but leave this run's id in the address."""
    if st.button(label, key=f"to-{run_id}", type="tertiary", icon=icon):
        url_state.go("run", id=run_id)


@st.fragment(run_every=3)
def watch_partners(run_id: str, known: tuple) -> None:
    """Draws the page again when a partner began, ended or moved on."""
    if partner_states(run_id) != known:
        st.rerun()


def partner_states(run_id: str) -> tuple:
    return tuple((item.id, item.state, round(item.status.progress, 1)) for item in store.partners(run_id))
