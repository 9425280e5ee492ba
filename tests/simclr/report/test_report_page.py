"""A report: every part for runs in every state, hostile text, its content policy, and how large it grows."""

import base64
import hashlib
import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from dashboard_fixtures import make_experiment, make_group, make_run
from leaky_runs import leaky, pair

from simclr import config as cfg
from simclr import runs
from simclr.config import ConfigError
from simclr.report import made, options, page, pairs, subjects
from simclr.results.groups import MEASURES

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "runs"
SHAPES = "20261125-150748-pretrain-shapes-resnet_tiny-zbwp"
CIFAR = "20261129-125449-pretrain-cifar10_jpeg-cnn_tiny-wrwa"
VOID = ("meta", "img", "br", "link", "input", "circle", "line", "rect")


@dataclass
class Read(HTMLParser):
    """A report as a browser takes it apart: words by section, attributes, and what its elements hold."""

    sections: dict[str, str] = field(default_factory=dict)
    held: dict[str, list[str]] = field(default_factory=dict)
    attributes: list[tuple[str, str, str]] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)

    def __post_init__(self):
        super().__init__()
        self._open, self._section = [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag == "section":
            self._section = dict(attrs)["id"]
        if tag not in VOID:
            self._open.append(tag + "".join(f"#{value}" for name, value in attrs if name == "id"))
            self.held.setdefault(self._open[-1], []).append("")

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self._open.pop().partition("#")[0] == tag
        if tag == "section":
            self._section = ""

    def handle_data(self, data):
        if self._open:
            self.held[self._open[-1]][-1] += data
        if self._section and self._open[-1] not in ("script", "style"):
            self.sections[self._section] = self.sections.get(self._section, "") + data

    @property
    def data(self):
        return json.loads(self.held["script#data"][0])

    @property
    def policy(self):
        found = next(value for _, name, value in self.attributes if name == "content" and "default-src" in value)
        return {part.split()[0]: part.split()[1:] for part in found.split(";")}


def read(text):
    found = Read()
    found.feed(text)
    found.close()
    assert not found._open, "an element is never closed"
    return found


def report_of(folder, *names, **more):
    return read(page.make(names, folder, with_images=False, **more))


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("experiment")
    first, _ = make_experiment(folder, (0.01, 0.1))
    make_experiment(folder, (0.01, 0.1), seed=7, better=0.02)
    return folder, first


def test_a_pre_training_brings_its_partners_and_their_other_seeds(experiment):
    folder, first = experiment
    found = report_of(folder, first.id[:-1])
    answer = found.sections["answer"]
    assert "14 of 14 runs finished" in answer and "2 seeds" in answer
    assert "With 1 % of the labels, the pre-trained encoder reaches 49.0 ± 1.4 %" in answer  # 48 and 50
    assert "Accuracy on test images" in answer and "Frozen encoder" in answer
    assert "From scratch, 10 % of the labels" in found.sections["configuration"]
    assert found.sections["verdicts"].count("finished") == 14
    commands = found.sections["repeat"]
    assert "python -m simclr pretrain --config quick" in commands
    assert f"--experiment_version {first.id}" in commands
    assert {"pretrain-0", "supervised-0"} <= set(found.data["figures"])
    assert re.search(r"torch\s*\d", found.sections["environment"])


def test_copies_among_test_images_stand_beside_the_figures(tmp_path):
    first, *_ = make_experiment(tmp_path, (0.01,))
    assert "test images were compared" not in report_of(tmp_path, first.id).sections["answer"]  # nothing was looked for
    leaky(first, [pair(0, is_exact=True), pair(1)])
    answer = report_of(tmp_path, first.id).sections["answer"]
    assert "2 of 500 test images (0.4 %) are copies of training images, or nearly; 1 has the same pixels." in answer
    assert "kNN accuracy is 85.00 % instead of 90.00 %" in answer
    leaky(first, [])
    assert "No copies were found: 500 test images" in report_of(tmp_path, first.id).sections["answer"]


def test_copies_of_a_group_are_told_once_for_all_its_runs(tmp_path):
    members = make_group(tmp_path, {"0.1": [0.51, 0.53], "0.2": [0.56, 0.57]})
    leaky(members[0], [pair(0)])
    said = "of 4 runs the test images were compared with the training images"
    answer = report_of(tmp_path, "which-x7k2").sections["answer"]
    assert f"In 1 {said}: by their features 0.2 % of them are copies, or nearly." in answer
    leaky(members[1], [pair(0), pair(1)])
    leaky(members[2], [])
    answer = report_of(tmp_path, "which-x7k2").sections["answer"]
    assert f"In 3 {said}: by their features 0 % to 0.4 % of them are copies, or nearly." in answer
    for member in members[:2]:
        leaky(member, [])
    assert f"In 3 {said}, and no copies were found." in report_of(tmp_path, "which-x7k2").sections["answer"]


def test_a_group_without_test_figures(tmp_path):
    make_group(tmp_path, {"0.1": [0.51, 0.53, 0.52], "0.2": [0.56, 0.57, 0.55]})
    found = report_of(tmp_path, "which-x7k2")
    answer = found.sections["answer"]
    assert "Which temperature?" in found.held["h1"]
    assert "Temperature 0.2: 56.0 ± 1.0 %" in answer and "95 % interval" in answer
    assert MEASURES[0].title in answer and "Test images" not in answer
    assert "no test image read" in answer and "The 410 images alone leave" in answer
    assert "temperature 0.1, seed 2" in found.sections["verdicts"]
    assert "temperature 0.1" in found.sections["curves"] and "(n 3)" in found.sections["curves"]
    assert "No maps" in found.sections["maps"]


def test_a_choice_that_was_tested_is_not_said_to_be_untested(tmp_path):
    made = make_group(tmp_path, {"0.1": [0.51], "0.2": [0.56], "0.5": [0.4]})
    for run, role in ((made[1], "chosen"), (made[0], "baseline")):
        (run.path / runs.EVALUATION).write_text(json.dumps({"test/linear_top1": 0.7, "num_test_images": 2000}))
        runs.add_meta(run.path, tested={"role": role, "measure": "val_knn", "num_settings": 3, "time": 1.0})
    answer = report_of(tmp_path, "which-x7k2").sections["answer"]
    assert "chosen on validation images" in answer and "no test image read" not in answer
    assert "The 2,000 images alone leave" in answer


def test_a_group_with_test_figures_and_its_sweep(tmp_path):
    members = []
    for seed in (0, 1, 2):
        pretraining, arms = make_experiment(tmp_path, (0.01,), seed=seed)
        members += [pretraining, *arms.values()]
    sweep = {"title": "What are labels worth?", "base": {"recipe": "quick"}, "seeds": [0, 1, 2]}
    for run in members:
        runs.add_meta(run.path, group={"id": "worth-x7k2", "title": sweep["title"], "setting": {}, "sweep": sweep})
    found = report_of(tmp_path, "worth-x7k2")
    assert "Accuracy on test images" in found.sections["answer"] and "against scratch" in found.sections["answer"]
    shown = next(text for text in found.held["code"] if "recipe: quick" in text)
    assert yaml.safe_load(shown) == sweep


@pytest.mark.parametrize(
    ("state", "said", "curves"),
    [
        ("queued", "It waits for its turn", "no run has started yet"),
        ("failed", "The loss is not a number after step 80.", "before its first figures"),
        ("running", "It is still training, in epoch 0 of 20", "no run has written figures yet"),
    ],
)
def test_runs_without_figures_say_why(tmp_path, state, said, curves):
    run = make_run(tmp_path, state, done=0)
    found = report_of(tmp_path, run.id)
    assert said in found.sections["answer"]
    assert curves in found.sections["curves"] and "No maps" in found.sections["maps"]
    assert state.capitalize() in found.sections["verdicts"] or state in found.sections["verdicts"]
    assert "script#plotly" not in found.held  # nothing to draw


def test_a_running_and_a_stopped_run_have_curves_and_the_best_figure_so_far(tmp_path):
    running, stopped = make_run(tmp_path, "running", done=5), make_run(tmp_path, "stopped", done=7)
    found = report_of(tmp_path, running.id, stopped.id)
    assert "It is still training, in epoch 5 of 20." in found.sections["answer"]
    assert "It was stopped after epoch 7 of 20." in found.sections["answer"]
    assert "kNN accuracy on validation images, the best so far: 60.9 %" in found.sections["answer"]
    assert len(found.data["figures"]["pretrain-0"]["data"]) == 2


def test_one_supervised_run_stands_alone_with_the_interval_of_its_test_images(tmp_path):
    run = make_run(
        tmp_path, kind="finetune", experiment_version="elsewhere", name="Head alone", notes="On a rainy day."
    )
    found = report_of(tmp_path, str(run.path))
    assert "Accuracy on test images: 70.0 % (95 % interval of 300 images: 64.6 to 74.9 %)" in found.sections["answer"]
    assert "On a rainy day." in found.sections["answer"] and "Head alone" in found.held["h1"]


def test_an_unknown_id_is_one_sentence(experiment):
    folder, first = experiment
    with pytest.raises(
        ConfigError, match=r"RUN is nothing; allowed: a run's folder, id or unique prefix, or the id of a"
    ):
        subjects.resolve(["nothing"], folder)
    with pytest.raises(ConfigError, match="which 14 runs begin with"):
        subjects.resolve([first.id[:4]], folder)
    assert len(subjects.resolve([first.id, str(first.path)], folder)) == 1


def test_examples_with_maps_images_and_pairs():
    """The one report here that loads torch, to draw views."""
    found = read(page.make([SHAPES], EXAMPLES))
    assert "With 1 % of the labels, the pre-trained encoder reaches 40.2 %" in found.sections["answer"]
    assert "the 2,000 test images alone leave ± 2.1 points" in found.sections["answer"]
    (drawn,) = found.data["maps"]
    assert [set(panel["maps"]) for panel in drawn["panels"]] == [{"pca", "umap", "tsne"}] * 2
    assert drawn["sheet"]["src"].startswith("data:image/webp;base64,") and drawn["sheet"]["count"] == 2000
    assert len(base64.b64decode(drawn["panels"][0]["maps"]["umap"])) == 2000 * 2 * 2
    pictures = [value for tag, name, value in found.attributes if (tag, name) == ("img", "src")]
    assert len(pictures) == 3 * pairs.NUM_IMAGES and all(each.startswith("data:image/webp") for each in pictures)
    assert "2,000 test images of shapes" in "".join(found.held["p"])
    assert "It follows the recipe quick as it is." in found.sections["configuration"]


def test_maps_and_pairs_whose_images_are_not_at_hand():
    found = read(page.make([CIFAR], EXAMPLES))
    (drawn,) = found.data["maps"]
    assert drawn["sheet"] is None and len(drawn["ids"]) == 4000
    assert "Their pictures are not stored with the maps" in found.sections["maps"]
    assert "the data set cifar10-jpeg is not on the machine that made this report" in found.sections["pairs"]
    assert "None." in "".join(found.held["p"])


# --- one file, which keeps to itself ----------------------------------------------------------------------------------


def hash_of(text):
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_policy_lets_nothing_in_or_out_but_these_scripts(experiment):
    import gzip

    folder, first = experiment
    found = report_of(folder, first.id)
    unpacked = gzip.decompress(base64.b64decode(found.held["script#plotly"][0])).decode()
    assert found.policy["default-src"] == ["'none'"] and found.policy["img-src"] == ["data:"]
    assert found.policy["script-src"] == [hash_of(found.held["script"][0]), hash_of(unpacked)]
    assert found.policy["style-src"] == [hash_of(found.held["style"][0]), hash_of("")]
    assert "unsafe" not in str(found.policy)
    kinds = {value for tag, name, value in found.attributes if (tag, name) == ("script", "type")}
    assert kinds == {"application/json", "application/octet-stream"}
    assert not [name for _, name, _ in found.attributes if name.startswith("on") or name == "style"]
    for tag, name, value in found.attributes:
        if name in ("src", "href", "action", "srcset", "poster"):
            assert value.startswith(("#", "data:")), (tag, name, value)
    assert not {"link", "iframe", "object", "embed", "base", "form"} & set(found.tags)
    assert not re.search(r"@import|url\((?!\"data:)", found.held["style"][0])


HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&amp; %{y} {{ 7*7 }} \u2028"


def test_text_from_runs_is_only_text(tmp_path):
    for run in make_group(tmp_path, {HOSTILE: [0.5], "0.2": [0.6]}, title=HOSTILE):
        meta = run.meta | {"name": HOSTILE, "notes": HOSTILE, "device": HOSTILE, "recipe": HOSTILE}
        meta["group"]["sweep"] = {"title": HOSTILE}
        meta["versions"] = {HOSTILE: HOSTILE}
        (run.path / runs.META).write_text(json.dumps(meta))
        runs.update_status(run.path, state="failed", error=HOSTILE)
        values = yaml.safe_load((run.path / runs.CONFIG).read_text())
        (run.path / runs.CONFIG).write_text(yaml.safe_dump(values | {"name": HOSTILE, "notes": HOSTILE}))
    damaged = make_run(tmp_path, kind="scratch", name=HOSTILE, notes=HOSTILE, experiment_version=HOSTILE)
    (damaged.path / runs.CONFIG).write_text(yaml.safe_dump({"random_weight_init": True, HOSTILE: HOSTILE}))
    found = report_of(tmp_path, "which-x7k2", damaged.id)
    assert found.tags.count("img") == 0
    assert len(found.held["script"]) == 1  # besides data and plotly
    assert found.sections["answer"].count("<script>alert(1)</script>") >= 2
    raw = json.dumps(found.data)
    assert "alert(1)" in raw and "%{y}" not in raw.replace("%{y:", "")
    text = page.make(["which-x7k2"], tmp_path, with_images=False)
    assert "<script>alert" not in text and "<img" not in text and "49" not in found.held["h1"][0]


def test_damaged_folders_cost_what_is_damaged_alone(tmp_path):
    whole, bare = make_run(tmp_path, epochs=3), tmp_path / "20261122-101010-bare"
    bare.mkdir()
    (bare / runs.STATUS).write_text("{")
    for name in (runs.META, runs.EVALUATION, runs.HEALTH, runs.METRICS):
        (bare / name).write_bytes(b"\xff\x00[1, {")
    kept = whole.path / runs.EMBEDDINGS / "test-10-abc"
    kept.mkdir(parents=True)
    (kept / "provenance.json").write_text('{"model": "weights", "seed": "x", "thumbnails": 3}')
    partner = make_run(tmp_path, kind="finetune", experiment_version=whole.id, freeze_encoder=True)
    (partner.path / runs.EVALUATION).write_text('{"test/top1": "much", "num_test_images": -3, "classes": 7}')
    found = report_of(tmp_path, whole.id, bare.name)
    assert "status.json is damaged and cannot be read." in found.sections["answer"]
    assert "cannot be read by this version" in found.sections["configuration"]
    assert "No maps" in found.sections["maps"] and "pretrain-0" in found.data["figures"]


def test_ten_runs_stay_below_ten_megabytes(experiment):
    text = page.make([SHAPES, CIFAR], EXAMPLES, with_images=True)
    assert len(re.findall(r'class="command"', text)) >= 10
    assert 1e6 < len(text.encode()) < 10e6


def test_a_report_loads_no_torch_but_for_views(experiment):
    folder, first = experiment
    code = (
        "import sys; from pathlib import Path; from simclr.report import page\n"
        "assert page.make([sys.argv[2]], Path(sys.argv[1]), with_images=False)\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, folder, first.id], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_colours_are_those_of_the_product():
    style = (page.ASSETS / "report.css").read_text()
    theme = (ROOT / ".streamlit" / "config.toml").read_text()
    for name, variable in (("backgroundColor", "page"), ("textColor", "text"), ("borderColor", "line")):
        light, dark = re.findall(rf'^{name} = "(#\w+)"', theme, re.MULTILINE)[:: 1 if name != "backgroundColor" else 2]
        assert re.findall(rf"--{variable}: (#\w+);", style) == [light, dark, dark]


# --- commands that repeat ---------------------------------------------------------------------------------------------


def test_commands_repeat_the_options(tmp_path):
    import shlex

    from simclr.cli.parser import parse_run_options

    asked = {"temperature": 0.31, "notes": "not an option of what is learned", "augmentation": {"hue": 0.21}}
    made_of = make_run(tmp_path, **asked)
    _, arms = make_experiment(tmp_path, (0.05,))
    for run in (made_of, *arms.values()):
        (subject,) = subjects.resolve([run.id], tmp_path)
        (line, *_) = subjects.lines_of([subject])
        words = shlex.split(options.command_of(line.members[0]))
        assert words[:3] == ["python", "-m", "simclr"]
        config, _ = parse_run_options(words[3], words[4:])
        before = runs.load_config(run)
        left_out = {"name", "notes", "tags", "version", *options.FILLED_IN, "augmentation"}
        assert {name for name in cfg.differences(config, before) if name.partition(".")[0] not in left_out} == set()


# --- files ------------------------------------------------------------------------------------------------------------


def test_only_reports_are_replaced(tmp_path, experiment):
    folder, first = experiment
    path = tmp_path / made.file_name([first.id, "a", "b"])
    assert path.name == f"report-{first.id}-and-2-more.html"
    path.write_text("<p>a page of my own")
    with pytest.raises(ConfigError, match="is no report; allowed: another name, or --force"):
        made.check_writable(path)
    made.check_writable(path, force=True)
    made.write(path, page.make([first.id], folder, with_images=False))
    made.check_writable(path)
    with pytest.raises(ConfigError, match="whose folder does not exist"):
        made.check_writable(tmp_path / "none" / "report.html")
    with pytest.raises(ConfigError, match="which is a folder"):
        made.check_writable(tmp_path)
    assert made.file_name(["../x/<b>"]) == "report-b.html"
