"""Tables as they leave the product: text, CSV, Markdown, LaTeX."""

import csv
import io

import pytest

from simclr.results import table_formats

ROWS = [["setting", "accuracy"], ["0.1", "82.0 ± 2.0 %"], ['a|b, "c" & d_e', "< 5 \\ {x} ~ ^ # $"]]


def test_columns_are_as_wide_as_their_widest_text():
    assert table_formats.as_text([["a", "bb"], ["ccc", "d"]]) == "a    bb\nccc   d"


def test_csv_is_read_back_as_it_was():
    assert list(csv.reader(io.StringIO(table_formats.as_csv(ROWS)))) == ROWS


def test_markdown_keeps_its_columns():
    lines = table_formats.as_markdown(ROWS).splitlines()
    assert lines[:3] == ["| setting | accuracy |", "| --- | ---: |", "| 0.1 | 82.0 ± 2.0 % |"]
    assert lines[3].startswith("| a\\|b, ")


def test_latex_has_rules_and_no_sign_of_its_own_unescaped():
    text = table_formats.as_latex(ROWS)
    assert [line.strip() for line in text.splitlines() if "rule" in line] == [r"\toprule", r"\midrule", r"\bottomrule"]
    assert r"82.0 $\pm$ 2.0 \% \\" in text
    assert r"a|b, " in text and r"\& d\_e" in text
    assert r"\textless{} 5 \textbackslash{} \{x\} \textasciitilde{} \textasciicircum{} \# \$ \\" in text


@pytest.mark.parametrize("name", table_formats.FORMATS)
def test_a_table_of_its_head_alone(name):
    assert "setting" in table_formats.FORMATS[name](ROWS[:1])


def test_the_minus_of_a_number_is_one_in_latex_and_a_hyphen_stays_one():
    text = table_formats.as_latex([["a", "difference"], ["fine-tuned", "-2.1 ± 0.3"], ["-1e-3", "-3.5 to -1.9"]])
    assert r"fine-tuned & $-$2.1 $\pm$ 0.3 \\" in text
    assert r"$-$1e-3 & $-$3.5 to $-$1.9 \\" in text


def test_spaces_that_do_not_break_and_lines_that_do_in_latex():
    """The first have commands of their own; a blank line would end the row."""
    text = table_formats.as_latex([["l'été\u00a0?", "5\u202f%"], ["a\n\nb\tc", "`x` pre\u2011trained"]])
    assert r"  l'été~? & 5\,\% \\" in text
    assert r"  a b c & \textasciigrave{}x\textasciigrave{} pre\mbox{-}trained \\" in text


def test_columns_of_dashes_are_left_out_of_what_is_read_and_kept_for_programs():
    rows = [["trained", "steps", "n"], ["kNN", "–", "3"], ["Linear probe", "–", "3"]]
    assert table_formats.as_markdown(rows).splitlines()[0] == "| trained | n |"
    assert table_formats.as_csv(rows).splitlines()[0] == "trained,steps,n"
    assert table_formats.as_text(rows[:1]) == "trained  steps  n"
