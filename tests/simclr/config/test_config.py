"""Options: ranges, files, spellings, errors in sentences, recipes and the round trip through YAML."""

import math
import random
import re
from pathlib import Path

import pytest
import yaml

from simclr import config as cfg
from simclr.cli.parser import parse_run_options
from simclr.config import ConfigError, FinetuneConfig, PretrainConfig

SOURCE = {"experiment_version": "0"}


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "options.yaml"
    path.write_text(text)
    return str(path)


def parse(command, *arguments):
    return parse_run_options(command, [str(argument) for argument in arguments])[0]


def problem(model, **values) -> str:
    with pytest.raises(ConfigError) as caught:
        cfg.build(model, values)
    text = str(caught.value)
    assert text.endswith((".", "?"))
    return text


# --- files that exist elsewhere -------------------------------------------------------------------------------------

PRETRAIN_FILES = [
    """
seed: 42
epochs: 200
version: 1
eta_min: 0
batch_size: 512
dataset: CIFAR10
weight_decay: 1e-6
lr_scaling_method: square-root
hidden_dim: 2048
temperature: 0.5
backbone: resnet50
projection_dim: 128
""",
    """
seed: 42
epochs: 200
version: null
eta_min: 0.0
batch_size: 512
dataset: CIFAR-10
weight_decay: 0.000001
lr_scaling_method: Square_Root
hidden_dim: 2048
temperature: 5e-1
backbone: ResNet50
projection_dim: 128
""",
    "{seed: 42, epochs: '200', version: ~, eta_min: 0., batch_size: 512, dataset: 'cifar10', weight_decay: 1.0e-06,"
    " lr_scaling_method: 'square-root', hidden_dim: 2048, temperature: .5, backbone: resnet50, projection_dim: 128}",
]


@pytest.mark.parametrize("text", PRETRAIN_FILES)
def test_a_pretraining_file_of_the_fields_own_keys_loads_unchanged(tmp_path, text):
    config = parse("pretrain", "--config", write(tmp_path, text))
    found = {key: getattr(config, key) for key in yaml.safe_load(PRETRAIN_FILES[0])}
    assert found.pop("version") in (1, None)
    assert found == {
        "seed": 42,
        "epochs": 200,
        "eta_min": 0.0,
        "batch_size": 512,
        "dataset": "cifar10",
        "weight_decay": 1e-6,
        "lr_scaling_method": "square-root",
        "hidden_dim": 2048,
        "temperature": 0.5,
        "backbone": "resnet50",
        "projection_dim": 128,
    }
    assert config.peak_learning_rate == pytest.approx(0.075 * math.sqrt(512))
    assert config.resolved().optimizer == "lars"


@pytest.mark.parametrize(
    ("version", "random_init", "freeze"),
    [("1", "false", "true"), ("3", "False", "True"), ("null", "true", "no"), ("~", "yes", "off")],
)
def test_a_finetuning_file_of_the_fields_own_keys_loads_unchanged(tmp_path, version, random_init, freeze):
    text = f"""
seed: 42
epochs: 100
eta_min: 1e-6
batch_size: 8
dataset: CIFAR10
weight_decay: 0
learning_rate: 1e-4
experiment_version: {version}
num_classes: 10
backbone: resnet50
freeze_encoder: {freeze}
random_weight_init: {random_init}
"""
    config = parse("finetune", "--config", write(tmp_path, text))
    assert config.experiment_version == (int(version) if version.isdigit() else None)
    assert config.random_weight_init == (random_init in ("true", "yes"))
    assert config.freeze_encoder == (freeze in ("true", "True"))
    assert (config.eta_min, config.learning_rate, config.weight_decay) == (1e-6, 1e-4, 0.0)
    assert (config.num_classes, config.backbone, config.batch_size, config.dataset) == (10, "resnet50", 8, "cifar10")
    assert config.kind == ("scratch" if config.random_weight_init else "finetune")


# --- flags and files ------------------------------------------------------------------------------------------------


def test_flags_win_over_the_file_wherever_they_stand(tmp_path):
    path = write(tmp_path, "epochs: 3\ntemperature: 0.3\naugmentation: {hue: 0.3, contrast: 0.2}\n")
    for arguments in (
        ["--config", path, "--epochs", 7, "--augmentation.hue", 0.4],
        ["--epochs", 7, "--augmentation.hue", 0.4, "--config", path],
        ["--epochs=7", f"--config={path}", "--augmentation.hue=0.4"],
    ):
        config = parse("pretrain", *arguments)
        assert (config.epochs, config.temperature) == (7, 0.3)
        assert (config.augmentation.hue, config.augmentation.contrast) == (0.4, 0.2)
        assert config.augmentation.brightness == PretrainConfig().augmentation.brightness


@pytest.mark.parametrize(
    "text", ["0012", "2026", "no", "true", "1e3", "null hypothesis", "a: b", "[x, y]", "{x: y}", "100%", "été"]
)
def test_text_stays_as_it_is_written(tmp_path, text):
    quoted = yaml.safe_dump({"name": text, "notes": text}, allow_unicode=True)
    for config in (
        parse("pretrain", "--name", text, "--notes", text),
        parse("pretrain", f"--name={text}", f"--notes={text}"),
        parse("pretrain", "--config", write(tmp_path, quoted)),
    ):
        assert (config.name, config.notes) == (text, text)


@pytest.mark.parametrize(
    ("line", "expected"), [("name: 0012", "0012"), ("name: 2026", "2026"), ("name: no", "no"), ("name: 1.50", "1.50")]
)
def test_unquoted_yaml_is_text_too(tmp_path, line, expected):
    assert parse("pretrain", "--config", write(tmp_path, line)).name == expected


def test_numbers_that_begin_with_a_minus_are_values():
    with pytest.raises(ConfigError, match="learning_rate is -1; allowed: a number above 0"):
        parse("pretrain", "--learning_rate", "-1")
    with pytest.raises(ConfigError, match=r"eta_min is -1e-3; allowed:"):
        parse("pretrain", "--eta_min", "-1e-3")


def test_yes_and_no_are_switches_where_a_switch_is_asked():
    assert parse("finetune", "--random_weight_init", "yes").random_weight_init
    assert not parse("finetune", "--experiment_version", "1", "--random_weight_init", "no").random_weight_init
    assert "evaluate is maybe; allowed: true or false." in problem(PretrainConfig, evaluate="maybe")


def test_compile_is_a_switch_with_two_ways_more():
    for value, word in ((True, "true"), ("yes", "true"), (False, "false"), ("off", "false"), ("Max-Autotune",) * 2):
        assert cfg.build(PretrainConfig, {"compile": value}).compile == word.lower()
    assert parse("pretrain", "--compile", "true").compile == "true"
    text = problem(PretrainConfig, compile="maybe")
    assert "compile is maybe; allowed: false, true, reduce-overhead, max-autotune." in text
    text = problem(PretrainConfig, compile="reduce-overhead", micro_batch_size=64)
    assert "compile is reduce-overhead, whose CUDA graph takes a batch as a whole; allowed with" in text


def test_unset_words():
    for word in ("null", "~", "None", ""):
        config = cfg.build(PretrainConfig, {"name": word, "limit_images": word, "learning_rate": word, "version": word})
        assert (config.name, config.limit_images, config.learning_rate, config.version) == (None, None, None, None)
        assert cfg.build(PretrainConfig, {"tags": word}).tags == ()


def test_tags():
    for value in ("a, b,a ,", "[a, b]", ["a", "b"], ("a", "b", "a")):
        assert cfg.build(PretrainConfig, {"tags": value}).tags == ("a", "b")


def test_data_set_names_and_folders():
    for text in ("CIFAR-10", "cifar10", "Cifar_10", " cifar10 "):
        assert cfg.build(PretrainConfig, {"dataset": text}).dataset == "cifar10"
    assert cfg.build(PretrainConfig, {"dataset": "Fashion-MNIST"}).dataset == "fashion_mnist"
    assert cfg.build(PretrainConfig, {"dataset": "/Data/My Images"}).dataset == "/Data/My Images"


def test_an_experiment_is_a_number_or_a_run():
    for text, expected in (("3", 3), (3, 3), ("0012", 12), ("20261122-14", "20261122-14"), ("runs/x.pt", "runs/x.pt")):
        assert cfg.build(FinetuneConfig, {"experiment_version": text}).experiment_version == expected


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typo", "nearest"),
    [
        ("temperatur", "temperature"),
        ("batchsize", "batch_size"),
        ("temp", "temperature"),
        ("epoch", "epochs"),
        ("lr_scaling", "lr_scaling_method"),
        ("augmentation.hues", "augmentation.hue"),
        ("augmentation.flip_prob", "augmentation.flip_probability"),
        ("learning-rate", "learning_rate"),
    ],
)
def test_a_typo_is_named_with_the_nearest_option(tmp_path, typo, nearest):
    expected = f"{typo} is not an option; did you mean {nearest}?"
    with pytest.raises(ConfigError) as caught:
        parse("pretrain", f"--{typo}", "1")
    assert str(caught.value) == expected
    section, _, inner = typo.partition(".")
    text = f"{section}: {{{inner}: 1}}" if inner else f"{typo}: 1"
    with pytest.raises(ConfigError) as caught:
        parse("pretrain", "--config", write(tmp_path, text))
    assert str(caught.value) == expected


def test_a_name_like_nothing_is_refused_without_a_guess():
    assert problem(PretrainConfig, zzzzzz=1) == "zzzzzz is not an option."


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", 0), ("temperature", "-1"), ("temperature", 1000), ("epochs", 0), ("epochs", "1.5"), ("epochs",
     "many"),
     ("batch_size", 1), ("batch_size", 10**9), ("seed", -1), ("seed", 2**31), ("image_size", 7), ("image_size", 4096),
     ("val_fraction", 0.95), ("val_fraction", -0.1), ("projection_dim", 1), ("limit_images", 1), ("num_threads", 0),
     ("optimizer", "adagrad"), ("precision", "64"), ("accelerator", "tpu"), ("lr_scaling_method", "cubic"),
     ("backbone", "resnet19"), ("dataset", ""), ("name", "x" * 121), ("epochs", [1, 2]), ("temperature", {"a": 1}),
     ("learning_rate", "fast"), ("version", -1), ("epochs", "")],
)  # fmt: skip
def test_values_out_of_range_name_option_value_and_range(name, value):
    text = problem(PretrainConfig, **{name: value})
    assert text.startswith(f"{name} is ")
    assert "; allowed: " in text
    assert "\n" not in text
    assert cfg.allowed(PretrainConfig.model_fields[name]) in text


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", ".inf", math.inf, math.nan, "1e999"])
@pytest.mark.parametrize(
    "name", ["temperature", "learning_rate", "eta_min", "weight_decay", "warmup_epochs", "val_fraction"]
)
def test_infinity_and_nan_are_refused(name, value):
    assert problem(PretrainConfig, **{name: value}).startswith(f"{name} is ")


def test_every_problem_gets_its_own_sentence():
    lines = problem(PretrainConfig, epochs=0, temperature="x", hue=1, augmentation={"hue": 2}).splitlines()
    assert len(lines) == 4
    assert any(line.startswith("augmentation.hue is 2; allowed: a number from 0 to 0.5") for line in lines)


def test_values_that_contradict_each_other():
    text = problem(PretrainConfig, augmentation={"crop_scale_min": 0.9, "crop_scale_max": 0.5})
    assert text == (
        "augmentation.crop_scale_min is 0.9 and augmentation.crop_scale_max is 0.5; "
        "allowed: a smallest value that is not above the largest."
    )
    assert "odd number" in problem(PretrainConfig, augmentation={"blur_kernel_size": 4})
    assert "a section of named values" in problem(PretrainConfig, augmentation=5)
    assert problem(FinetuneConfig).startswith("experiment_version is not set and random_weight_init is false; allowed:")


def test_a_backbone_typo_is_answered_with_the_nearest():
    assert problem(PretrainConfig, backbone="resnet19").endswith("did you mean resnet18?")
    assert problem(PretrainConfig, backbone="vit_b16").endswith("did you mean vit_b_16?")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (bytes(range(256)), "not a YAML file"),
        (b"- a\n- b\n", "no names with values"),
        (b"a: [1\n", "not a YAML file (line"),
        (b"just text", "no names with values"),
        (b"\x00\x01\x02", "not a YAML file"),
        (b"{1: {2: 3}, [a]: b}", "config is"),
        (b"a: &x [*x]\n", "not a YAML file"),
        (b"\xff\xfe", "config is"),
    ],
)
def test_files_that_are_no_options_end_in_a_sentence(tmp_path, content, part):
    path = tmp_path / "file.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        parse("pretrain", "--config", path)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders_as_config(tmp_path):
    with pytest.raises(ConfigError, match="allowed: a YAML file that exists"):
        parse("pretrain", "--config", tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        parse("pretrain", "--config", tmp_path)
    assert parse("pretrain", "--config", write(tmp_path, "")) == PretrainConfig()
    assert parse("pretrain", "--config", write(tmp_path, "# nothing\n")) == PretrainConfig()


def test_a_dotted_name_in_a_file_means_the_section(tmp_path):
    config = parse("pretrain", "--config", write(tmp_path, "augmentation.hue: 0.25\n"))
    assert config.augmentation.hue == 0.25


# --- what follows from the options ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "rate", "optimizer"), [("none", 5e-4, "adam"), ("linear", 0.3, "lars"), ("square-root", 0.075, "lars")]
)
def test_unset_rate_and_optimizer_are_resolved(method, rate, optimizer):
    config = PretrainConfig(lr_scaling_method=method).resolved()
    assert (config.learning_rate, config.optimizer) == (rate, optimizer)
    config = PretrainConfig(lr_scaling_method=method, learning_rate=0.01, optimizer="sgd").resolved()
    assert (config.learning_rate, config.optimizer) == (0.01, "sgd")


def test_options_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        PretrainConfig().epochs = 3  # type: ignore[misc]


# --- recipes --------------------------------------------------------------------------------------------------------


def test_the_recipes_are_those_of_the_readme():
    assert set(cfg.recipe_names()) == {"quick", "photos", "notebook", "lightning", "cifar10", "words"}
    assert cfg.recipe_names()[0] == "quick"


@pytest.mark.parametrize("name", cfg.recipe_names())
def test_every_recipe_is_valid_and_has_its_partners(name):
    for kind, more in (("pretrain", {}), ("finetune", SOURCE), ("scratch", {})):
        config = cfg.build(cfg.MODELS[kind], cfg.recipe(name, kind) | more)
        assert config.kind == kind


def test_recipes_hold_what_they_are_known_for():
    notebook = cfg.build(PretrainConfig, cfg.recipe("notebook")).resolved()
    assert (notebook.backbone, notebook.seed, notebook.epochs, notebook.batch_size) == ("resnet18", 123, 50, 256)
    assert (notebook.optimizer, notebook.learning_rate, notebook.temperature) == ("adam", 5e-4, 0.07)
    assert (notebook.hidden_dim, notebook.projection_dim, notebook.image_size) == (512, 256, 128)
    a = notebook.augmentation
    assert (a.crop_scale_min, a.crop_scale_max, a.flip_probability) == (0.08, 1.0, 0.5)
    assert (a.brightness, a.contrast, a.saturation, a.hue, a.jitter_probability) == (0.8, 0.8, 0.8, 0.2, 0.8)
    assert (a.grayscale_probability, a.blur_probability, a.blur_kernel_size) == (0.2, 1.0, 9)
    assert (a.blur_sigma_min, a.blur_sigma_max) == (0.1, 0.5)
    partner = cfg.build(FinetuneConfig, cfg.recipe("notebook", "finetune") | SOURCE)
    assert (partner.freeze_encoder, partner.head, partner.hidden_dim) == (False, "mlp", 512)

    lightning = cfg.build(PretrainConfig, cfg.recipe("lightning")).resolved()
    assert (lightning.backbone, lightning.seed, lightning.epochs, lightning.batch_size) == ("resnet50", 42, 200, 512)
    assert (lightning.temperature, lightning.hidden_dim, lightning.projection_dim) == (0.5, 2048, 128)
    assert (lightning.lr_scaling_method, lightning.weight_decay, lightning.eta_min) == ("square-root", 1e-6, 0.0)
    partner = cfg.build(FinetuneConfig, cfg.recipe("lightning", "finetune") | SOURCE)
    assert (partner.freeze_encoder, partner.seed, partner.epochs, partner.batch_size) == (True, 42, 100, 8)
    assert (partner.learning_rate, partner.eta_min, partner.weight_decay, partner.head) == (1e-4, 1e-6, 0.0, "linear")


def test_a_micro_batch_is_a_part_of_a_batch():
    assert cfg.build(PretrainConfig, {"batch_size": 64, "micro_batch_size": 64}).micro_batch_size == 64
    for options, most in (({"batch_size": 64}, 64), ({"batch_size": 64, "devices": 2}, 32)):
        with pytest.raises(ConfigError) as caught:
            cfg.build(PretrainConfig, options | {"micro_batch_size": most + 1})
        assert str(caught.value) == (
            f"micro_batch_size is {most + 1}; allowed: at most the images of a batch that a process holds, {most}."
        )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("epochs: 3\nseed: 1\nepochs: 5\n", "line 3 has epochs for the second time"),
        ("augmentation:\n  hue: 0.1\n  hue: 0.2\n", "line 3 has hue for the second time"),
        (
            "augmentation: 3\naugmentation.hue: 0.1\n",
            "augmentation is 3, beside options below it; allowed: ",
        ),
        (
            "augmentation.hue: 0.1\naugmentation: 3\n",
            "augmentation is 3, beside options below it; allowed: ",
        ),
    ],
)
def test_a_file_that_says_two_things_of_one_option_is_refused(tmp_path, text, sentence):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        cfg.load_yaml(tmp_path / "x.yaml")


@pytest.mark.parametrize("unset", [{}, {"augmentation": None}, {"augmentation": "null"}])
def test_options_laid_over_others_take_their_place(unset):
    top = {"augmentation": {"hue": "0.2"}, "seed": "3"}
    assert cfg.overlaid(unset | {"seed": "1", "epochs": "2"}, top) == top | {"epochs": "2"}
    base = {"augmentation": {"hue": "0.1", "saturation": "0.3"}}
    assert cfg.overlaid(base, top)["augmentation"] == {"hue": "0.2", "saturation": "0.3"}
    assert base == {"augmentation": {"hue": "0.1", "saturation": "0.3"}}


def test_no_option_is_laid_below_a_section_with_a_value_of_its_own(tmp_path, capsys):
    """As a file and an option of the command line may say."""
    from simclr.cli.main import main

    (tmp_path / "x.yaml").write_text("augmentation: 3\ndataset: shapes\n")
    assert main(["pretrain", "--config", str(tmp_path / "x.yaml"), "--augmentation.hue", "0.2"]) == 2
    assert capsys.readouterr().err == "augmentation is 3, beside options below it; allowed: augmentation.NAME alone.\n"
    (tmp_path / "x.yaml").write_text("augmentation:\n  hue: 0.1\n")
    assert main(["pretrain", "--config", str(tmp_path / "x.yaml"), "--augmentation", "3"]) == 2


def test_a_section_may_be_unset_beside_options_below_it(tmp_path):
    (tmp_path / "x.yaml").write_text("augmentation: null\naugmentation.hue: 0.1\n")
    assert cfg.load_yaml(tmp_path / "x.yaml") == {"augmentation": {"hue": "0.1"}}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"value_min": 3}, "value_min is 3 and value_max is unset; allowed: both, or neither."),
        ({"value_max": 3}, "value_max is 3 and value_min is unset; allowed: both, or neither."),
        ({"value_min": 3, "value_max": 3}, "value_min is 3; allowed: below value_max, which is 3."),
    ],
)
def test_a_range_of_pixel_values_has_two_ends_in_order(values, sentence):
    for model, more in ((PretrainConfig, {}), (FinetuneConfig, SOURCE)):
        with pytest.raises(ConfigError) as caught:
            cfg.build(model, values | more)
        assert str(caught.value) == sentence


def test_labels_are_a_share_or_a_number_of_each_class():
    assert cfg.build(FinetuneConfig, SOURCE | {"labels_per_class": "5"}).labels_per_class == 5
    with pytest.raises(ConfigError, match=r"labels_per_class is 5 and label_fraction is 0\.1; allowed: one of them"):
        cfg.build(FinetuneConfig, SOURCE | {"labels_per_class": 5, "label_fraction": 0.1})


# --- round trip -----------------------------------------------------------------------------------------------------


def any_value(name, info, generator):
    """A random allowed value of an option."""
    if cfg.choices(info):
        return generator.choice(cfg.choices(info))
    kind, limits = cfg.field_type(info), cfg.bounds(info)
    low, high = limits.get("ge", limits.get("gt", 0)), limits.get("le", 10**6)
    if kind is bool:
        return generator.random() < 0.5
    if kind is int:
        return generator.randint(int(low), int(high))
    if kind is float:
        return min(high, max(low, low + (high - low) * generator.random() ** 3)) or high
    if name == "tags":
        return [generator.choice(["a", "0012", "no", "x y"]) for _ in range(generator.randint(0, 3))]
    if name == "held_out":
        return generator.sample(["red star", "blue circle", "yellow ring"], generator.randint(0, 3))
    if name == "experiment_version":
        return generator.choice([3, "2026-run", "dir/model.pt"])
    return generator.choice(
        ["0012", "no", "2026", "a: b", "# x", "it's", "two\nlines", " spaced ", "ünï", "- x", "'", "!y"]
    )


@pytest.mark.parametrize("number", range(40))
def test_any_valid_options_survive_the_file_and_the_flags(tmp_path, number):
    """Property: parse(write(config)) is config, and writing it again gives the same text."""
    generator = random.Random(number)
    model = (PretrainConfig, FinetuneConfig)[number % 2]
    values = {}
    for name, info in cfg.option_names(model).items():
        if generator.random() < 0.5:
            values[name] = any_value(name, info, generator)
    if "labels_per_class" in values:
        values.pop("label_fraction", None)  # one of them
    if "value_min" in values or "value_max" in values:  # both, in order
        values |= {"value_min": generator.uniform(-5, 5), "value_max": generator.uniform(6, 1e5)}
    for key in [key for key in values if key.startswith("augmentation.")]:
        if key.endswith(("_min", "_max")):
            values.pop(key)
        elif key.endswith("kernel_size"):
            values[key] |= 1
    if model is FinetuneConfig:
        values["random_weight_init"] = True
        if any(f"augmentation.{name}" in values for name in ("brightness", "contrast", "saturation", "hue")):
            values.setdefault("augmentation.jitter_probability", 0.5)  # of its own it has none
        values["match_experiment"] = "experiment_version" in values
    if "batch_size" in values:  # a multiple of the processes that share it
        values |= {"devices": 2, "num_nodes": 3, "batch_size": max(6, values["batch_size"] // 6 * 6)}
    else:
        values.pop("devices", None), values.pop("num_nodes", None)
    if values.get("micro_batch_size"):  # at most what a process holds of a batch
        values["micro_batch_size"] = min(values["micro_batch_size"], values.get("batch_size", 60) // 6)
    if values.get("freeze_encoder"):
        values |= {"devices": 1, "num_nodes": 1}
    if values.get("compile") in cfg.CUDA_GRAPHS:
        values.pop("micro_batch_size", None)
    if values.get("text_encoder"):  # captions are known of shapes, and one process sees them all
        values |= {"dataset": "shapes", "devices": 1, "num_nodes": 1, "temperature": 0.2}
        values.pop("micro_batch_size", None)
    else:
        values.pop("held_out", None)
    if "eta_min" in values:  # at most the peak rate, which depends on three other options
        values["eta_min"] = min(values["eta_min"], 1e-9)
    if values.get("initial_image_size") and values.get("image_size"):  # the first views are the smaller ones
        values["initial_image_size"], values["image_size"] = 8, max(9, values["image_size"])
    config = cfg.build(model, cfg.nest(values)).resolved()
    command = "pretrain" if model is PretrainConfig else "finetune"
    text = cfg.to_yaml(config)
    path = write(tmp_path, text)
    again = parse(command, "--config", path).resolved()
    assert again == config
    assert cfg.to_yaml(again) == text
    base = cfg.build(model, SOURCE if model is FinetuneConfig else {})
    flags = [f"--{name}={cfg.option_text(value)}" for name, value in cfg.differences(config, base).items()]
    assert parse(command, *flags).resolved() == config
    spaced = [part for flag in flags for part in flag.split("=", 1)]
    assert parse(command, *spaced).resolved() == config


@pytest.mark.parametrize("name", cfg.recipe_names())
def test_print_config_is_a_fixed_point(tmp_path, capsys, name):
    from simclr.cli.main import main

    assert main(["pretrain", "--config", str(cfg.RECIPES_DIR / f"{name}.yaml"), "--print_config"]) == 0
    first = capsys.readouterr().out
    assert main(["pretrain", "--config", write(tmp_path, first), "--print_config"]) == 0
    assert capsys.readouterr().out == first
    assert "optimizer: null" not in first
    assert "learning_rate: null" not in first


def test_a_cosine_that_would_rise_is_refused():
    with pytest.raises(ConfigError, match=r"eta_min is 0\.1; allowed: at most the peak learning rate, 0\.001\."):
        cfg.build(FinetuneConfig, {"random_weight_init": True, "eta_min": 0.1})
    assert cfg.build(FinetuneConfig, {"random_weight_init": True, "eta_min": 1e-3}).eta_min == 1e-3
