"""Sweep files: what is wrong with one is a sentence that names it, and the shipped ones are right."""

import pytest

from simclr.config import ConfigError
from simclr.sweeps import sweep_file

FAULTS = {
    "an unknown part": ("axis: {temperature: [1]}", "axis is not a part of a sweep; allowed: .*; did you mean axes"),
    "an unknown recipe": ("base: {recipe: quik}", "base.recipe is quik; allowed: .*; did you mean quick"),
    "an unknown option": ("base: {temprature: 1}", "base: temprature is not an option.*; did you mean temperature"),
    "an unknown axis": ("axes: {temprature: [1, 2]}", "axes: temprature is not an option.*; did you mean temperature"),
    "a value that is none": (
        "axes: {temperature: [0.1, warm]}",
        "temperature is warm; allowed: ",
    ),
    "a value twice": ("axes: {temperature: [0.1, 0.1]}", "axes.temperature has 0.1 twice"),
    "the same value in two spellings": ("axes: {temperature: [0.1, 1e-1]}", "axes.temperature has 0.1 twice"),
    "the same options under two names": (
        "axes: {views: {a: {epochs: 1}, b: {epochs: 1.0}}}",
        "same options twice, as views a and as views b",
    ),
    "no list": ("axes: {temperature: 0.1}", "axes.temperature is 0.1; allowed: a list"),
    "an empty list": ("axes: {temperature: []}", "axes.temperature is .*; allowed: a list"),
    "axes that are a list": ("axes: [temperature]", "axes is .*; allowed: names with values"),
    "seeds as an axis": ("axes: {seed: [1, 2]}", "seed is set; allowed: seeds"),
    "a set evaluate": ("base: {evaluate: true}", "evaluate is set; allowed: no such option here"),
    "an option in two axes": (
        "axes: {temperature: [0.1, 0.2], both: {a: {temperature: 0.3}, b: {temperature: 0.4}}}",
        "temperature is set by the axes temperature and both",
    ),
    "a named value of nothing": ("axes: {views: {a: 3, b: 4}}", "axes.views.a is 3; allowed: a name"),
    "a name with a plus": ("axes: {views: {a + b: {epochs: 1}}}", r"axes.views.a \+ b is"),
    "one that has no pair": ("axes: {views: {pairs: {a: {epochs: 1}}}}", "axes.views.pairs has 1 values"),
    "an unknown arm": ("arms: [frosen]", "arms is frosen; allowed: frozen, full, scratch; did you mean frozen"),
    "shares without arms": ("label_fractions: [0.1]", "label_fractions is set and arms is not"),
    "a share above 1": ("arms: [full]\nlabel_fractions: [0.1, 10]", "label_fractions is .*; allowed: numbers above 0"),
    "a share that is no number": ("arms: [full]\nlabel_fractions: few", "label_fractions is few"),
    "numbers of each class without arms": ("labels_per_class: [5]", "labels_per_class is set and arms is not"),
    "draws without arms": ("subset_seeds: 3", "subset_seeds is set and arms is not"),
    "half a label": (
        "arms: [full]\nlabels_per_class: [0.5]",
        "labels_per_class is .*0.5.*; allowed: whole numbers",
    ),
    "no label": ("arms: [full]\nlabels_per_class: 0", "labels_per_class is 0; allowed: whole numbers from 1"),
    "draws that are no numbers": ("arms: [full]\nsubset_seeds: many", "subset_seeds is many; allowed: a list"),
    "seeds that are no numbers": ("seeds: [one]", r"seeds is \['one'\]; allowed: whole numbers"),
    "a negative seed": ("seeds: [-1]", "seeds is"),
    "a seed twice": ("seeds: [1, 1]", "seeds is .*each once"),
    "no seeds": ("seeds: []", "seeds is"),
    "seeds without an end": ("seeds: 1e99", "seeds is 1e99"),
    "half a seed": ("seeds: 2.5", "seeds is 2.5"),
    "an unknown method": ("method: bayes", "method is bayes; allowed: grid or random"),
    "chance without a limit": ("method: random\naxes: {epochs: [1, 2]}", "method is random and limit is not set"),
    "a limit of a grid": ("limit: 3 runs", "limit is set and method is grid"),
    "a limit in miles": ("method: random\nlimit: 3 miles", "limit is 3 miles; allowed: a number of runs"),
    "no runs": ("method: random\nlimit: 0", "limit is 0"),
    "endless hours": ("method: random\nlimit: inf hours", "limit is inf hours"),
    "too many": (
        f"seeds: 100\naxes: {{epochs: {list(range(1, 40))}}}",
        "The sweep has 3,900 runs; allowed: up to 2,000",
    ),
    "a text": ("just a text", "holds no names with values"),
    "no YAML": ("axes: {", "is not a YAML file"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_one_sentence(tmp_path, name):
    text, sentence = FAULTS[name]
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=sentence) as caught:
        sweep_file.load(path)
    assert "\n" not in str(caught.value)


def test_an_empty_arm_is_none_of_them():
    with pytest.raises(ConfigError, match="arms is empty; allowed: frozen"):
        sweep_file.parse({"arms": [""]})
    for empty in (None, "", []):
        assert sweep_file.parse({"arms": empty}) == sweep_file.parse({})


def test_a_long_title_is_cut_to_what_reads_the_same_again():
    title = sweep_file.parse({"title": "a" * 119 + " and more"}).title
    assert title == "a" * 119
    assert sweep_file.parse({"title": title}).title == title
    with pytest.raises(ConfigError, match=r"title is \['a', 'b'\]; allowed: text."):
        sweep_file.parse({"title": ["a", "b"]})


def test_a_title_is_the_files_name_where_there_is_none(tmp_path):
    path = tmp_path / "which-one.yaml"
    path.write_text("")
    found = sweep_file.load(path)
    assert (found.title, found.recipe, found.seeds, found.num_settings) == ("which one", "quick", (42,), 1)


@pytest.mark.parametrize("name", sweep_file.shipped_names())
def test_shipped_sweeps_are_valid(name):
    found = sweep_file.load(name)
    assert found.title.endswith("?")
    assert len(list(found.members())) > 1


def test_unknown_names_are_told_the_known_ones():
    with pytest.raises(ConfigError, match=r"FILE is temprature; allowed: .*temperature.*; did you mean temperature"):
        sweep_file.load("temprature")
    with pytest.raises(ConfigError, match=r"config is .*absent.yaml; allowed: a YAML file that exists"):
        sweep_file.load("folder/absent.yaml")
