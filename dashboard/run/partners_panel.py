"""What a finished pre-training is for: its partners, each started by one click."""

from __future__ import annotations

import streamlit as st

from dashboard.components import escape
from dashboard.shared import formats, run_labels, store, ui, url_state
from simclr.config import ConfigError
from simclr.experiments import partners
from simclr.results import arms, index
from simclr.runs import Run


def next_steps(run: Run, summary: index.Summary) -> None:
    """What a finished pre-training is for: three runs on the same labels, one click each."""
    with st.container(border=True, key="next-steps"):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
            st.subheader("Next steps", anchor=False, width="content")
            fraction = st.segmented_control(
                "Labels used",
                arms.LABEL_FRACTIONS,
                format_func=formats.fraction_text,
                default=0.01,
                required=True,
                key=f"next-fraction-{run.id}",
                persist_state="session",
            )
        st.caption(
            "What is the encoder worth? Train a classifier on few labels, and the same network from scratch on "
            "the same images for comparison."
        )
        fraction = fraction or 0.01
        found = store.partners(run.id)
        titles = {
            "frozen": ("Frozen encoder + head", "The encoder stays as it is; a linear layer on its features."),
            "full": ("Fine-tune everything", "Encoder and classifier are trained together."),
            "scratch": ("From scratch, same labels", "The same network from random weights: what it is compared with."),
        }
        for column, arm in zip(st.columns(3, gap="medium"), arms.ARMS, strict=True):
            with column.container(height="stretch"):
                title, text = titles[arm]
                partner = arms.newest_partner(found, arm, fraction)
                done = partner is not None and partner.state not in ("failed", "stopped")
                if st.button(
                    title,
                    key=f"partner-{arm}",
                    type="secondary" if done else "primary",
                    width="stretch",
                    icon=":material/refresh:" if done else ":material/play_arrow:",
                    help="It was run already; this runs it again." if done else None,
                ):
                    try:
                        ui.open_run(partners.start_partner(run, arm, fraction, store.runs_dir()))
                    except ConfigError as error:
                        st.error(escape.markdown(str(error)))
                if partner is None:
                    st.caption(text)
                else:
                    partner_line(partner)
        with st.container(horizontal=True, gap="medium"):
            if found:
                st.page_link(
                    "results/page.py",
                    label="See the results",
                    icon=":material/table_chart:",
                    query_params={"experiment": run.id},
                )
            if (store.ROOT / "dashboard/embeddings/page.py").exists():
                st.page_link(
                    "embeddings/page.py",
                    label="Compare embeddings",
                    icon=":material/scatter_plot:",
                    query_params={"left": run.id},
                )


def run_link(label: str, run_id: str, icon: str) -> None:
    """Leads to another run. A page link would show it too, but leave this run's id in the address."""
    if st.button(label, key=f"to-{run_id}", type="tertiary", icon=icon):
        url_state.go("run", id=run_id)


def partner_line(partner: index.Summary) -> None:
    if partner.test_accuracy is not None:
        text = f"{formats.percent(partner.test_accuracy)} test accuracy"
    elif partner.is_active:
        text = f"{run_labels.STATE_LABELS[partner.state]}, {100 * partner.status.progress:.0f} %"
    else:
        text = run_labels.STATE_LABELS[partner.state]
    run_link(text, partner.id, ":material/arrow_forward:")


@st.fragment(run_every=3)
def watch_partners(run_id: str, known: tuple) -> None:
    """Draws the page again when a partner began, ended or moved on."""
    if partner_states(run_id) != known:
        st.rerun()


def partner_states(run_id: str) -> tuple:
    return tuple((item.id, item.state, round(item.status.progress, 1)) for item in store.partners(run_id))
