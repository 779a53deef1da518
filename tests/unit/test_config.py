import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from helpers import ARCHITECTURES, RECIPE, tiny_config
from jsonschema import Draft202012Validator
from spec_helpers import FAMILIES, changed, changed_specs, full_config, specs, without

from memflow import config
from memflow.config import Study, as_text
from memflow.validation import SCHEMA as SCHEMA_FILE
from memflow.validation import ConfigError

PROJECT = Path(__file__).resolve().parents[2]
SCHEMA = yaml.safe_load(SCHEMA_FILE.read_text(encoding="utf-8"))


WRONG = [
    ("seedz", 3, ["the config: unknown key 'seedz'", "did you mean 'seeds'?", "allowed: study, seeds, ratio"]),
    ("recipes.short.epoch", 3, ["recipes.short: unknown key 'epoch'", "did you mean 'epochs'?", "batch_size"]),
    ("architectures.mlp.hiden", [3], ["architectures.mlp: unknown key 'hiden'", "did you mean 'hidden'?"]),
    (
        "recipes.short.schedule",
        {"shape": "cosine", "warmup": 1},
        ["recipes.short.schedule: unknown key 'warmup'", "did you mean 'warmup_epochs'?"],
    ),
    ("design", "balancd", ["design is 'balancd'", "did you mean 'balanced'?", "allowed: balanced, iid"]),
    ("subset_unit", "examples", ["subset_unit is 'examples'", "did you mean 'example'?", "allowed: example, group"]),
    ("recipes.short.precision", "bf_16", ["recipes.short.precision is 'bf_16'", "did you mean 'bf16'?", "fp32"]),
    (
        "recipes.short.schedule",
        {"shape": "cosin"},
        ["recipes.short.schedule.shape is 'cosin'", "did you mean 'cosine'?", "triangular, step, cosine"],
    ),
    (
        "architectures.mlp.model",
        "cifar-resnt",
        ["architectures.mlp.model is 'cifar-resnt'", "did you mean 'cifar-resnet'?", "mlp", "nearest-neighbour"],
    ),
    ("datasets.digits.source", "digit", ["datasets.digits.source is 'digit'", "did you mean 'digits'?"]),
    ("architectures.mlp.recipe", "shor", ["architectures.mlp.recipe is 'shor'", "did you mean 'short'?", "long"]),
    (
        "families.sizes.architectures",
        ["mlp", "resnit"],
        ["families.sizes.architectures names 'resnit'", "did you mean 'resnet'?", "allowed: mlp, resnet"],
    ),
    ("seeds", "many", ["seeds is 'many'", "of type integer"]),
    ("recipes.short.learning_rate", "1e-1", ["recipes.short.learning_rate is '1e-1'", "of type number"]),
    ("require_uniform_device", "yes", ["require_uniform_device is 'yes'", "of type boolean"]),
    ("architectures.mlp.hidden", 8, ["architectures.mlp.hidden is 8", "of type array"]),
    ("recipes.short", None, ["recipes.short is None", "of type object"]),
    ("architectures.mlp", 3, ["architectures.mlp.model is 3", "allowed:", "mlp"]),
    ("seeds", 1, ["seeds is 1", "at least 2"]),
    ("recipes.short.epochs", 0, ["recipes.short.epochs is 0", "at least 1"]),
    ("recipes.short.learning_rate", 0, ["recipes.short.learning_rate is 0", "above 0"]),
    ("recipes.short.momentum", 1, ["recipes.short.momentum is 1", "below 1"]),
    ("recipes.short.weight_decay", -1, ["recipes.short.weight_decay is -1", "at least 0"]),
    ("recipes.short.target_accuracy", 95, ["recipes.short.target_accuracy is 95", "at most 1"]),
    ("architectures.mlp.hidden", [8, 0], ["architectures.mlp.hidden.1 is 0", "at least 1"]),
    ("confidence", 95, ["confidence is 95", "below 1"]),
    ("memorised_at", 0, ["memorised_at is 0", "above 0"]),
    ("tau", 0, ["tau is 0", "above 0"]),
    ("tau", 15, ["tau is 15", "below 1"]),
    ("fdr", 0, ["fdr is 0", "above 0"]),
    ("fdr", 5, ["fdr is 5", "below 1"]),
    ("families.sizes.architectures", ["mlp"], ["families.sizes.architectures"]),
    ("families.sizes.architectures", ["mlp", "mlp"], ["families.sizes.architectures"]),
    ("families.twin", FAMILIES["sizes"], ["families.twin.title is 'Sizes', as is that of sizes", "titles must differ"]),
    ("study", "My Study", ["study is 'My Study'", "a name that matches"]),
    ("datasets.a b", {"source": "digits"}, ["datasets", "'a b'", "a name that matches"]),
    ("datasets", {}, ["datasets", "non-empty"]),
    ("ratio", 1.5, ["ratio is 1.5", "between 0 and 1"]),
    ("ratio", "9/8", ["ratio is 9/8", "between 0 and 1"]),
    ("ratio", "8/8", ["ratio is 8/8", "between 0 and 1"]),
    ("ratio", "0/8", ["ratio is 0/8", "between 0 and 1"]),
    ("ratio", "most", ["ratio is 'most'", "a fraction such as 7/10"]),
    ("datasets.noisy.label_noise.fraction", 2, ["datasets.noisy.label_noise.fraction is 2", "between 0 and 1"]),
    ("datasets.digits.source", "cifar-10", ["datasets.digits.source is 'cifar-10'", "did you mean 'cifar10'?"]),
    ("datasets.digits", {}, ["datasets.digits: missing 'source'", "'digits', 'cifar10'"]),
    ("datasets.digits", {"source": "cifar10", "rot": "x"}, ["datasets.digits: unknown key 'rot'", "mean 'root'?"]),
    ("datasets.digits", {"source": "arrays"}, ["missing 'train_images', 'train_labels', 'test_images', 'test_labels'"]),
    ("datasets.digits.root", "here", ["datasets.digits: unknown key 'root'", "allowed: source, subset"]),
    ("datasets.digits.subset", {"per_clas": 3}, ["datasets.digits.subset: unknown key 'per_clas'", "'per_class'?"]),
    ("datasets.digits.subset", {"per_class": 0}, ["datasets.digits.subset.per_class is 0", "at least 1"]),
    ("datasets.digits.subset", {"classes": ["3"]}, ["datasets.digits.subset.classes"]),
    ("datasets.digits.label_noise", {"kind": "par"}, ["label_noise.kind is 'par'", "did you mean 'pair'?"]),
    ("datasets.digits.label_noise", {}, ["label_noise: missing 'fraction', which kind 'symmetric' needs"]),
    ("datasets.digits.label_noise", {"kind": "pair"}, ["label_noise: missing 'fraction', which kind 'pair' needs"]),
    (
        "datasets.digits.label_noise",
        {"kind": "pair", "fraction": 0.1, "key": "worse_label"},
        ["datasets.digits.label_noise.key has no meaning with kind 'pair'"],
    ),
    (
        "datasets.digits.label_noise",
        {"kind": "file", "fraction": 0.1},
        ["missing 'file'", "missing 'key'", "label_noise.fraction has no meaning with kind 'file'"],
    ),
    (
        "datasets.digits",
        {"source": "digits", "subset": {"classes": [1, 2]}, "label_noise": {"kind": "file", "file": "f", "key": "k"}},
        ["datasets.digits.label_noise: labels of a file are among all classes, but subset.classes keeps some"],
    ),
    ("datasets.digits.input_noise", {"seed": 1}, ["datasets.digits.input_noise: missing 'fraction'"]),
    ("datasets.digits.input_noise", {"fraction": 1}, ["datasets.digits.input_noise.fraction is 1", "between 0 and 1"]),
    ("datasets.digits.input_noise", {"fraction": "3/2"}, ["input_noise.fraction is 3/2", "strictly between 0 and 1"]),
    (
        "architectures.new",
        {"model": "resnet", "depth": 18, "recipe": "short"},
        ["architectures.new: recipe 'short' has fuse 2, but only cifar-resnet, mlp can be trained side by side"],
    ),
    (
        "architectures.new",
        {"model": "my_nets:build", "recipe": "short"},
        ["architectures.new: recipe 'short' has fuse 2", "a recipe with fuse: 1"],
    ),
    (
        "architectures.new",
        {"model": "vit", "size": "tiny", "pretrained": "w.pth", "recipe": "alone"},
        ["architectures.new: missing 'pretrained_sha256'", "sha256sum w.pth"],
    ),
    (
        "architectures.new",
        {"model": "vit", "size": "tiny", "pretraining_overlap": "maybe", "recipe": "alone"},
        ["architectures.new.pretraining_overlap is 'maybe'", "one of ['yes', 'unknown', 'no'] "],
    ),
    (
        "architectures.new",
        {"model": "my_nets:build", "arguments": {"model": 1}, "recipe": "alone"},
        ["architectures.new.arguments names 'model', which is taken"],
    ),
    (
        "architectures.new",
        {"model": "my_nets.build", "recipe": "alone"},
        ["architectures.new.model is 'my_nets.build'", "module:function"],
    ),
    (
        "architectures.new",
        {"model": "resnet", "depth": 20, "recipe": "alone"},
        ["architectures.new.depth is 20; it must be one of [18, 34, 50, 101]"],
    ),
    (
        "architectures.new",
        {"model": "vgg", "size": "lage", "recipe": "alone"},
        ["architectures.new.size is 'lage'", "did you mean 'large'?", "19"],
    ),
    ("architectures.mlp.datasets", ["digit"], ["architectures.mlp.datasets names 'digit'", "did you mean 'digits'?"]),
    ("block_size", 3, ["block_size is 3", "ratio 1/2", "a multiple of 2"]),
    ("seeds", 6, ["seeds is 6", "a multiple of block_size (4)"]),
    ("seeds", 4, ["seeds is 4", "trajectories along families need at least four groups of 2 runs, two per half"]),
    ("recipes.short.fuse", 3, ["recipes.short.fuse is 3", "block_size (4) must be a multiple of it"]),
    ("architectures.resnet.depth", 18, ["architectures.resnet.depth is 18", "6n + 2: 8, 14, 20"]),
    (
        "recipes.short.augment",
        {"crop": 1, "translate": 2},
        ["recipes.short.augment", "crop and translate", "choose one"],
    ),
    ("distillation.d", {}, ["distillation.d: missing 'teacher'"]),
    ("distillation.d", {"teachr": "mlp"}, ["unknown key 'teachr'", "did you mean 'teacher'?", "missing 'teacher'"]),
    ("distillation.a b", {"teacher": "mlp"}, ["distillation", "'a b'", "a name that matches"]),
    ("distillation.d", {"teacher": "mlp", "students": []}, ["d.students is []", "a list of at least 1"]),
    ("distillation.d", {"teacher": "mlp", "students": ["mlp", "mlp"]}, ["distillation.d.students", "non-unique"]),
    ("distillation.d", {"teacher": "mlp", "teacher_data": "ful"}, ["teacher_data is 'ful'", "did you mean 'full'?"]),
    ("distillation.d", {"teacher": "mlp", "targets": "teachers"}, ["targets is 'teachers'", "mean 'teacher'?"]),
    ("distillation.d", {"teacher": "mlp", "temperature": 0}, ["distillation.d.temperature is 0", "above 0"]),
    ("distillation.d", {"teacher": "mlp", "temperature": float("inf")}, ["d.temperature is inf", "a finite number"]),
    ("distillation.d", {"teacher": "mlp", "teacher_weight": -1}, ["d.teacher_weight is -1", "at least 0"]),
    ("distillation.d", {"teacher": "mlp", "label_weight": "1e-1"}, ["d.label_weight is '1e-1'", "of type number"]),
    ("distillation.d", {"teacher": "mlp", "teacher_epoch": 0}, ["d.teacher_epoch is 0", "at least 1"]),
    ("proxies", None, ["proxies is None", "of type object"]),
    ("proxies", {"run": 4}, ["proxies: unknown key 'run'", "did you mean 'runs'?", "allowed: runs, block_size"]),
    ("proxies", {"runs": 1}, ["proxies.runs is 1", "at least 2"]),
    ("proxies", {"block_size": 0}, ["proxies.block_size is 0", "at least 1"]),
    ("proxies", {"early": 0}, ["proxies.early is 0", "above 0"]),
    ("proxies", {"early": 1.5}, ["proxies.early is 1.5", "at most 1"]),
    ("proxies", {"architectures": []}, ["proxies.architectures is []", "a list of at least 1"]),
    ("proxies", {"ratios": ["most"]}, ["proxies.ratios.0 is 'most'", "a fraction such as 7/10"]),
    ("proxies", {"ratios": ["3/4", "3/2"]}, ["proxies.ratios.1 is 3/2; it must lie strictly between 0 and 1"]),
    (
        "recipes.short.schedule",
        {"shape": "cosine", "warmup_epochs": 2},
        ["recipes.short.schedule.warmup_epochs is 2", "below epochs (2)"],
    ),
]


@pytest.mark.parametrize(("key", "value", "said"), WRONG, ids=[f"{key}={value}" for key, value, _ in WRONG])
def test_a_wrong_value_is_refused_with_key_value_allowed_values_and_closest_name(key, value, said):
    with pytest.raises(ConfigError) as error:
        Study(changed(key, value))
    assert [part for part in said if part not in str(error.value)] == []


def test_several_missing_keys_are_named_once():
    with pytest.raises(ConfigError) as error:
        Study({})
    assert str(error.value).splitlines()[1:] == [
        "  - the config: missing 'study', 'seeds', 'datasets', 'recipes', 'architectures'"
    ]


@pytest.mark.parametrize(
    "key", ["seeds", "study", "datasets.digits.source", "recipes.short.epochs", "architectures.mlp.hidden"]
)
def test_a_missing_key_is_named_with_its_place(key):
    place, _, name = key.rpartition(".")
    with pytest.raises(ConfigError, match=f"{place or 'the config'}: missing '{name}'"):
        Study(without(key))


def test_a_step_schedule_without_milestones_says_what_is_missing():
    with pytest.raises(ConfigError, match=r"recipes\.short\.schedule: missing 'milestones'"):
        Study(changed("recipes.short.schedule", {"shape": "step"}))


def test_all_mistakes_are_reported_at_once():
    wrong = changed("recipes.short.epochs", 0) | {"seeds": "many"}
    with pytest.raises(ConfigError, match=r"(?s)recipes\.short\.epochs is 0.*seeds is 'many'"):
        Study(wrong)


@pytest.mark.parametrize("content", ["a: [1", "study: 'x", "\tstudy: x"])
def test_invalid_yaml_is_refused_with_the_name_of_the_file(tmp_path, content):
    path = tmp_path / "broken.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"broken\.yaml is not valid YAML"):
        config.read(path)


@pytest.mark.parametrize("content", ["", "- study", "study"])
def test_yaml_that_is_no_mapping_is_refused(tmp_path, content):
    path = tmp_path / "list.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"list\.yaml holds no mapping"):
        config.read(path)


def test_a_missing_config_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no config file .*absent\.yaml"):
        config.read(tmp_path / "absent.yaml")


def _objects(schema, key=""):
    """Every object in the schema with the key it stands at, and every key with its own schema."""
    if "$ref" in schema:
        schema = {**SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], **schema}
    yield key, schema
    for name, inner in schema.get("properties", {}).items():
        yield from _objects(inner, f"{key}.{name}")
    for inner in [schema.get("additionalProperties"), schema.get("items"), *schema.get("oneOf", [])]:
        if isinstance(inner, dict):
            yield from _objects(inner, f"{key}.*")


def test_every_key_of_the_schema_has_a_description():
    keys = [(key, schema) for key, schema in _objects(SCHEMA) if not key.endswith("*")]
    assert len(keys) > 40
    assert [key for key, schema in keys if not schema.get("description")] == []


def test_every_object_of_the_schema_refuses_or_describes_further_keys():
    objects = [(key, schema) for key, schema in _objects(SCHEMA) if schema.get("type") == "object"]
    assert [key for key, schema in objects if schema.get("additionalProperties") in (None, True, {})] == []


def test_every_default_of_the_schema_is_a_valid_value():
    wanted = [(key, schema) for key, schema in _objects(SCHEMA) if "default" in schema]
    schemas = {key: Draft202012Validator({**schema, "$defs": SCHEMA["$defs"]}) for key, schema in wanted}
    assert [key for key, schema in wanted if not schemas[key].is_valid(schema["default"])] == []


@pytest.mark.parametrize(
    "path", [PROJECT / "config.yaml", *sorted(PROJECT.glob("studies/*.yaml"))], ids=lambda p: p.name
)
def test_the_studies_of_the_project_are_valid_and_complete_in_themselves(path):
    study = Study(config.read(path))
    assert specs(study)
    assert Study(study.config).config == study.config  # filling in the defaults twice changes nothing


def test_defaults_are_filled_in_at_every_level():
    filled = Study(
        {key: value for key, value in tiny_config(seeds=100).items() if key not in ("ratio", "block_size")}
    ).config
    assert (filled["ratio"], filled["block_size"], filled["design"], filled["families"]) == ("7/10", 50, "balanced", {})
    assert (filled["tau"], filled["fdr"], filled["distillation"]) == (0.15, 0.05, {})
    assert "proxies" not in filled
    recipe = filled["recipes"]["short"]
    assert (recipe["momentum"], recipe["weight_decay"], recipe["precision"]) == (0.9, 5e-4, "fp32")
    assert recipe["augment"] == {"crop": 0, "translate": 0, "flip": False}
    assert recipe["schedule"] == {"shape": "cosine", "warmup_epochs": 0}
    assert filled["datasets"]["digits"] == {"source": "digits", "near_duplicates": 0.995, "augment": True}
    filled = Study(changed("architectures.resnet", {"model": "cifar-resnet", "depth": 8, "recipe": "short"})).config
    assert filled["architectures"]["resnet"]["width"] == 16
    assert filled["datasets"]["noisy"]["label_noise"] == {"kind": "symmetric", "fraction": "1/20", "seed": 0}
    filled = Study(full_config() | {"distillation": {"d": {"teacher": "mlp"}}, "proxies": {}}).config
    weights = {"temperature": 4, "teacher_weight": 1, "label_weight": 0}
    assert filled["distillation"]["d"] == {"teacher": "mlp", "teacher_data": "subset", "targets": "teacher", **weights}
    assert filled["proxies"] == {"runs": 10, "block_size": 10, "early": 0.1, "ratios": []}


def test_a_study_leaves_the_config_it_was_given_unchanged():
    given = full_config()
    specs(Study(given))
    assert given == full_config()


def test_a_ratio_spelled_as_decimal_or_fraction_gives_the_same_specs():
    spellings = [full_config() | {"block_size": 20, "seeds": 40, "ratio": ratio} for ratio in (0.7, "7/10", "14/20")]
    assert changed_specs(spellings[0], spellings[1]) == changed_specs(spellings[0], spellings[2]) == set()


@pytest.mark.parametrize("fraction", [0.05, "5/100"])
def test_a_noise_fraction_spelled_otherwise_gives_the_same_specs(fraction):
    assert changed_specs(full_config(), changed("datasets.noisy.label_noise.fraction", fraction)) == set()


@pytest.mark.parametrize("kind", ["label_noise", "input_noise"])
def test_every_share_of_noise_is_a_fraction_in_lowest_terms(kind):
    filled = Study(changed(f"datasets.digits.{kind}", {"fraction": 0.25})).datasets["digits"][kind]
    assert filled["fraction"] == "1/4"
    assert filled["seed"] == 0


LOCATED = {
    "official": ({"source": "cifar10", "root": "here", "download": False}, {"root": "there"}),
    "folders": ({"source": "image-folder", "train": "a", "test": "b", "size": 8}, {"train": "c", "test": "d"}),
    "files": ({"source": "parquet", "train": "a", "test": ["b", "c"]}, {"test": "d"}),
    "arrays": (
        {"source": "arrays", "train_images": "a", "train_labels": "b", "test_images": "c", "test_labels": "d"},
        {"train_images": "e", "test_labels": "f"},
    ),
    "copies": ({"source": "digits"}, {"near_duplicates": 0.9}),
    "people": (
        {"source": "digits", "label_noise": {"kind": "file", "file": "a", "key": "worse_label"}},
        {"label_noise": {"kind": "file", "file": "b", "key": "worse_label"}},
    ),
}


@pytest.mark.parametrize("name", LOCATED)
def test_where_a_dataset_lies_and_what_is_a_copy_is_known_to_its_preparation_and_to_no_run(name):
    before, moved = LOCATED[name]
    one, other = (Study(tiny_config(datasets={"mine": entry})) for entry in (before, before | moved))
    prepared = [study.prepare_spec("mine") for study in (one, other)]
    assert [{key: spec["dataset"][key] for key in moved} for spec in prepared] == [
        {key: one.datasets["mine"][key] for key in moved},
        {key: other.datasets["mine"][key] for key in moved},
    ]
    assert one.runs_spec("mine", "mlp", "one-hot") == other.runs_spec("mine", "mlp", "one-hot")


def test_what_is_a_copy_is_known_to_runs_whose_subsets_keep_copies_together():
    one, other = (
        Study(tiny_config(subset_unit="group", datasets={"mine": {"source": "digits", "near_duplicates": near}}))
        for near in (0.995, 0.9)
    )
    assert one.runs_spec("mine", "mlp", "one-hot") != other.runs_spec("mine", "mlp", "one-hot")


@pytest.mark.parametrize(
    "change",
    [{"label_noise": {"kind": "file", "file": "a", "key": "aggre_label"}}, {"subset": {"per_class": 3}}],
)
def test_what_a_dataset_is_is_known_to_every_run(change):
    entry = {"source": "digits", "label_noise": {"kind": "file", "file": "a", "key": "worse_label"}}
    one, other = (Study(tiny_config(datasets={"mine": entry | more})) for more in ({}, change))
    assert one.runs_spec("mine", "mlp", "one-hot") != other.runs_spec("mine", "mlp", "one-hot")


OVERLAPS = {  # by what a ViT's entry says, on the digits and on Tiny-ImageNet
    "from scratch": ({}, ("no", "no")),
    "of timm": ({"pretrained": "timm"}, ("unknown", "yes")),
    "of a file": ({"pretrained": "w.pth", "pretrained_sha256": 64 * "a"}, ("unknown", "unknown")),
    "said as YAML reads no": ({"pretrained": "timm", "pretraining_overlap": False}, ("no", "no")),
    "said as YAML reads yes": ({"pretraining_overlap": True}, ("yes", "yes")),
    "said in quotes": ({"pretrained": "timm", "pretraining_overlap": "unknown"}, ("unknown", "unknown")),
}


def study_of_vit(**entry):
    architectures = {"vit": {"model": "vit", "size": "tiny", "recipe": "short"} | entry}
    datasets = {"digits": {"source": "digits"}, "tiny": {"source": "tiny-imagenet"}}
    return Study(tiny_config(recipe={"fuse": 1}, datasets=datasets, architectures=architectures))


@pytest.mark.parametrize("weights", OVERLAPS)
def test_whether_initial_weights_have_seen_held_out_images_is_said_or_derived(weights):
    entry, expected = OVERLAPS[weights]
    study = study_of_vit(**entry)
    for dataset, overlap in zip(("digits", "tiny"), expected, strict=True):
        assert study.pretraining_overlap(dataset, "vit") == overlap
        assert study.scores_spec(dataset, "vit", "one-hot")["pretraining_overlap"] == overlap
        assert study.figure_spec("mean_memorisation", dataset)["pretraining_overlap"] == {"vit": overlap}


def test_the_overlap_changes_scores_and_what_comes_after_and_no_run():
    one, other = (
        specs(study_of_vit(pretrained="timm")),
        specs(study_of_vit(pretrained="timm", pretraining_overlap="no")),
    )
    assert {key[0] for key in one if one[key] != other[key]} == {
        *("scores", "epochs", "figure", "sizes figure", "schedules figure")
    }


def test_a_network_of_the_users_own_gets_its_arguments_and_is_in_the_code_of_its_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "nets_of_config_test.py").write_text("def build(): ...")
    entry = {"model": "nets_of_config_test:build", "arguments": {"width": 4, "deep": [1, 2]}, "recipe": "alone"}
    spec = Study(changed("architectures.mine", entry)).runs_spec("digits", "mine", "one-hot")
    assert spec["architecture"] == {"model": "nets_of_config_test:build", "width": 4, "deep": [1, 2]}
    assert spec["network"] == "nets_of_config_test:build"


@pytest.mark.parametrize(("key", "value"), [("mlp.hidden", [9]), ("resnet.width", 3), ("resnet.depth", 14)])
def test_changing_an_architecture_changes_only_its_own_specs(key, value):
    differing = changed_specs(full_config(), changed(f"architectures.{key}", value))
    assert {spec[0] for spec in differing} == {"runs", "block", "counts", "epochs"}
    assert {spec[2] for spec in differing} == {key.partition(".")[0]}


@pytest.mark.parametrize(("recipe", "users"), [("short", {"mlp", "resnet"}), ("long", {"wide"})])
def test_changing_a_recipe_changes_only_the_specs_of_its_users(recipe, users):
    differing = changed_specs(full_config(), changed(f"recipes.{recipe}.learning_rate", 0.3))
    figures = {spec for spec in differing if spec[0] == "schedules figure"}
    assert {spec[2] for spec in differing - figures} == users
    assert {spec[0] for spec in differing - figures} == {"runs", "block", "counts", "epochs"}
    assert bool(figures) == (recipe == "short")  # of the architectures that are drawn


def test_target_accuracy_changes_the_counts_and_no_run():
    differing = changed_specs(full_config(), changed("recipes.long.target_accuracy", 0.5))
    datasets = ("digits", "noisy", "plain")
    expected = {("counts", dataset, "wide", "one-hot") for dataset in datasets}
    assert differing == expected | {("epochs", dataset, "wide") for dataset in datasets}


def test_more_seeds_leave_the_specs_of_earlier_blocks_identical():
    differing = changed_specs(full_config(), full_config() | {"seeds": 12})
    assert {spec[0] for spec in differing} == {"counts", "block", "epochs"}
    assert {spec[4] for spec in differing if spec[0] == "block"} == {2}


@pytest.mark.parametrize(
    ("key", "value", "name"),
    [
        ("architectures.new", {"model": "mlp", "hidden": [4], "recipe": "short"}, "new"),
        ("datasets.new", {"source": "digits", "label_noise": {"fraction": 0.5}}, "new"),
    ],
)
def test_a_further_dataset_or_architecture_changes_no_existing_spec(key, value, name):
    assert all(name in spec for spec in changed_specs(full_config(), changed(key, value)))


def test_the_options_of_the_analysis_change_no_run_and_no_counts():
    after = full_config() | {"memorised_at": 0.5, "confidence": 0.9, "families": {}}
    kinds = {spec[0] for spec in changed_specs(full_config(), after)}
    figures = {"figure", "sizes figure", "schedules figure"}
    assert kinds == {"scores", "trajectories", "epochs", "transitions", "sensitivity", *figures}


@pytest.mark.parametrize(("key", "value"), [("tau", 0.2), ("fdr", 0.1)])
def test_the_options_of_trajectories_change_nothing_else(key, value):
    differing = changed_specs(full_config(), changed(key, value))
    kinds = ("trajectories", "sensitivity")
    assert differing == {(kind, dataset, "sizes") for kind in kinds for dataset in full_config()["datasets"]}


def test_a_further_family_leaves_the_trajectories_along_the_others():
    after = changed("families.widths", {"title": "Widths", "architectures": ["mlp", "wide"]})
    differing = changed_specs(full_config(), after)
    datasets = full_config()["datasets"]
    expected = {(kind, name) for name in datasets for kind in ("figure", "sizes figure", "schedules figure")}
    expected |= {(kind, name, "widths") for name in datasets for kind in ("trajectories", "transitions", "sensitivity")}
    assert differing == expected


def test_a_study_with_fewer_groups_than_trajectories_need_is_valid_without_families():
    assert Study(without("families") | {"seeds": 4}).families == {}


@pytest.mark.parametrize(
    ("families", "largest"),
    [
        ({}, ["wide"]),
        ({"sizes": ["mlp", "resnet"]}, ["resnet"]),
        ({"sizes": ["mlp", "resnet"], "widths": ["mlp", "wide"]}, ["resnet", "wide"]),
    ],
)
def test_the_largest_architecture_is_the_last_of_each_family_or_the_last_network(families, largest):
    entries = {name: {"title": name, "architectures": members} for name, members in families.items()}
    study = Study(full_config() | {"families": entries})
    assert study.largest("digits") == study.figure_spec("most_memorised", "digits")["largest"] == largest


def test_a_study_of_reference_learners_only_has_a_largest_one():
    only = {"neighbour": ARCHITECTURES["neighbour"]}
    assert Study(tiny_config(architectures=only)).largest("digits") == ["neighbour"]


def of_some_datasets(**datasets):
    """A study of three datasets whose architectures are trained on the datasets of their key, or on all."""
    config = full_config()
    architectures = {
        name: entry | ({"datasets": datasets[name]} if name in datasets else {})
        for name, entry in config["architectures"].items()
    }
    return Study(config | {"architectures": architectures})


def test_an_architecture_is_trained_and_drawn_on_its_datasets_only():
    study = of_some_datasets(mlp=["noisy"], resnet=["noisy"], neighbour=["plain", "noisy"])
    assert study.architectures_on("digits") == ["wide"]
    assert study.architectures_on("plain") == ["neighbour", "wide"]
    assert [run[:2] for run in study.runs] == [
        ("digits", "wide"),
        *(("noisy", name) for name in ("mlp", "resnet", "neighbour", "wide")),
        ("plain", "neighbour"),
        ("plain", "wide"),
    ]
    assert {name: list(study.families_on(name)) for name in study.datasets} == {
        "digits": [],
        "noisy": ["sizes"],
        "plain": [],
    }
    assert {name: study.largest(name) for name in study.datasets} == {
        "digits": ["wide"],
        "noisy": ["resnet"],
        "plain": ["wide"],
    }
    assert study.drawn("noisy") == ["mlp", "resnet", "neighbour"]
    assert study.figure_spec("mean_memorisation", "digits")["references"] == []


def test_the_datasets_of_an_architecture_change_no_run():
    study, of_some = Study(full_config()), of_some_datasets(wide=["plain"])
    assert of_some.runs_spec("plain", "wide", "one-hot") == study.runs_spec("plain", "wide", "one-hot")


@pytest.mark.parametrize(
    ("datasets", "said"),
    [
        ({"mlp": ["noisy"]}, r"families\.sizes\.architectures are not all trained on the same datasets"),
        (
            {name: ["noisy", "plain"] for name in ("mlp", "resnet", "neighbour", "wide")},
            r"datasets\.digits: no architecture is trained on it",
        ),
    ],
)
def test_datasets_of_architectures_that_leave_something_out_are_refused(datasets, said):
    with pytest.raises(ConfigError, match=said):
        of_some_datasets(**datasets)


def test_augmentation_matters_only_to_datasets_that_take_it():
    differing = changed_specs(full_config(), changed("recipes.long.augment", {"flip": True}))
    assert {spec[1] for spec in differing} == {"digits", "noisy"}


def test_a_spec_of_runs_holds_the_options_of_its_dataset_and_no_file_names():
    spec = Study(full_config()).block_spec("noisy", "mlp", "one-hot", 1)
    assert spec["dataset"] == {"source": "digits", "label_noise": {"kind": "symmetric", "fraction": "1/20", "seed": 0}}
    assert (spec["seeds"], spec["ratio"], spec["design"]) == ([4, 8], "1/2", "balanced")
    assert not any(text in as_text(spec) for text in (".npz", "results/", "noisy", '"mlp":'))


def test_a_job_refuses_code_other_than_it_was_planned_with():
    spec = Study(full_config()).block_spec("digits", "mlp", "one-hot", 0)
    config.check_code(spec)
    with pytest.raises(ConfigError, match="the code of stage 'runs' changed between planning and running"):
        config.check_code(spec | {"code": "0" * 16})


def test_planning_a_study_imports_no_heavy_package():
    program = """
import sys
from pathlib import Path
from memflow import config
study = config.Study(config.read(Path("config.yaml")))
for dataset in study.datasets:
    study.prepare_spec(dataset), study.figure_spec("trajectories", dataset)
    [study.trajectories_spec(dataset, family) for family in study.families]
    for name in study.architectures:
        study.block_spec(dataset, name, "one-hot", 0), study.counts_spec(dataset, name, "one-hot")
        study.scores_spec(dataset, name, "one-hot")
heavy = {"numpy", "torch", "pandas", "scipy", "sklearn", "matplotlib", "pyarrow", "seaborn"}
print(*sorted(heavy & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("recipes.short.learning_rate", float("nan")),
        ("recipes.short.learning_rate", float("inf")),
        ("datasets.noisy.label_noise.fraction", "3/2"),
        ("recipes.short.schedule", {"shape": "step", "milestones": [float("nan")]}),
    ],
)
def test_a_senseless_value_is_refused(key, value):
    with pytest.raises(ConfigError, match=key):
        Study(changed(key, value))


@pytest.mark.parametrize("key", ["seeds", "block_size", "recipes.short.epochs", "architectures.resnet.width"])
def test_a_whole_number_written_with_a_point_is_refused_or_means_the_same(key):
    value = full_config()
    for name in key.split("."):
        value = value[name]
    try:
        study = Study(changed(key, float(value)))
    except ConfigError:
        return
    assert specs(study) == specs(Study(full_config()))


def test_a_whole_number_in_a_list_is_treated_alike():
    assert changed_specs(full_config(), changed("architectures.mlp.hidden", [8.0])) == set()


def test_a_config_path_that_is_a_folder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=str(tmp_path)):
        config.read(tmp_path)


def test_a_family_holds_networks_only_and_no_reserved_title():
    families = {"all": {"title": "reference", "architectures": ["mlp", "neighbour"]}}
    with pytest.raises(ConfigError) as error:
        Study(tiny_config(families=families))
    assert "families.all.architectures names 'neighbour', which is no network" in str(error.value)
    assert "families.all.title is 'reference'" in str(error.value)


def test_a_network_of_the_users_own_is_unknown_ground_unless_said_otherwise():
    said = {"model": "my_nets:build", "recipe": "alone"}
    for entry, overlap in ((said, "unknown"), (said | {"pretraining_overlap": "no"}, "no")):
        study = Study(tiny_config(recipes={"alone": {**RECIPE, "fuse": 1}}, architectures={"mine": entry}))
        assert study.pretraining_overlap("digits", "mine") == overlap


def test_whole_numbers_and_decimals_are_the_same_number():
    one, other = (Study(changed("recipes.short.weight_decay", value)) for value in (0, 0.0))
    assert specs(one) == specs(other)


def test_milestones_that_training_never_reaches_are_refused():
    schedule = {"shape": "step", "milestones": [1, 200]}
    with pytest.raises(ConfigError, match=r"schedule\.milestones has 200, but training ends after 2 epochs"):
        Study(changed("recipes.short.schedule", schedule))


def test_members_of_a_family_may_name_the_same_datasets_in_any_order():
    datasets = {name: {"source": "digits"} for name in ("one", "two")}
    mlp = {"model": "mlp", "recipe": "short"}
    small, large = mlp | {"hidden": [2], "datasets": ["two", "one"]}, mlp | {"hidden": [4]}
    families = {"widths": {"title": "Widths", "architectures": ["small", "large"]}}
    study = Study(tiny_config(datasets=datasets, architectures={"small": small, "large": large}, families=families))
    assert list(study.families_on("two")) == ["widths"]


def test_only_files_that_are_there_are_watched(tmp_path):
    for name in ("a.npz", "part-0.parquet", "part-1.parquet", "labels.npy"):
        (tmp_path / name).touch()
    arrays = {
        f"{split}_{kind}": f"{tmp_path}/a.npz:{kind}" for split in ("train", "test") for kind in ("images", "labels")
    }
    human = {"kind": "file", "file": str(tmp_path / "labels.npy"), "key": "labels"}
    datasets = {
        "arrays": {"source": "arrays", **arrays},
        "parquet": {"source": "parquet", "train": f"{tmp_path}/part-*.parquet", "test": ["missing.parquet"]},
        "human": {"source": "cifar10", "label_noise": human},
    }
    study = Study(tiny_config(datasets=datasets))
    found = {
        name: sorted({path.rpartition("/")[2] for path in config.local_files(study.datasets[name])})
        for name in datasets
    }
    assert found == {"arrays": ["a.npz"], "parquet": ["part-0.parquet", "part-1.parquet"], "human": ["labels.npy"]}
