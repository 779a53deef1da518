import itertools

import numpy as np
import pytest
from helpers import ARCHITECTURES, noise_images, tiny_config

from memflow import counts, disk, plan, proxies, scores, workload
from memflow.config import Study
from memflow.data import prepared
from memflow.sizes import Sizes
from memflow.training import blocks


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Real files of both kinds of learner on both designs: n is large enough to outweigh an archive's headers."""
    folder = tmp_path_factory.mktemp("sizes")
    data = noise_images(n=1200, n_test=301, shape=(4, 4, 1))
    prepared.save(data, folder / "data.npz")
    files = {}
    for architecture, design in itertools.product(("mlp", "neighbour"), ("balanced", "iid")):
        study = Study(tiny_config(recipe={"epochs": 3, "evaluate_every": 2}, design=design))
        outputs = [folder / f"{architecture}-{design}-{block}.npz" for block in study.methods["one-hot"].blocks]
        for block, output in zip(study.methods["one-hot"].blocks, outputs, strict=True):
            blocks.run(study.block_spec("digits", architecture, "one-hot", block), folder / "data.npz", output)
        merged = folder / f"{architecture}-{design}-counts.npz"
        counts.run(study.counts_spec("digits", architecture, "one-hot"), folder / "data.npz", outputs, merged)
        files[architecture, design] = (outputs[0], merged, study.runs_spec("digits", architecture, "one-hot"))
    return data, files


@pytest.mark.parametrize("architecture", ["mlp", "neighbour"])
def test_a_block_has_the_size_that_is_planned(trained, architecture):
    data, files = trained
    block, _, spec = files[architecture, "balanced"]
    planned = disk.block_bytes(
        4, workload.evaluations(spec["recipe"]), len(data.train), len(data.test), "network" in spec
    )
    assert planned == pytest.approx(block.stat().st_size, rel=0.1)


def test_a_block_with_what_other_tools_want_has_the_size_that_is_planned(trained, tmp_path):
    data, _ = trained
    prepared.save(data, tmp_path / "data.npz")
    study = Study(tiny_config(recipe={"epochs": 3, "evaluate_every": 2}, probabilities=True))
    spec = study.block_spec("digits", "mlp", "one-hot", 0)
    blocks.run(spec, tmp_path / "data.npz", tmp_path / "block-0.npz")
    sizes = len(data.train), len(data.test)
    planned = disk.block_bytes(4, workload.evaluations(spec["recipe"]), *sizes, network=True)
    planned += disk.other_tools_bytes(4, *sizes, data.n_classes)
    assert planned == pytest.approx((tmp_path / "block-0.npz").stat().st_size, rel=0.1)


@pytest.mark.parametrize("architecture", ["mlp", "neighbour"])
@pytest.mark.parametrize(("design", "group_size"), [("balanced", 2), ("iid", 1)])
def test_a_counts_file_has_the_size_that_is_planned(trained, architecture, design, group_size):
    data, files = trained
    _, merged, spec = files[architecture, design]
    planned = disk.counts_bytes(8, group_size, workload.evaluations(spec["recipe"]), len(data.train), len(data.test))
    assert planned == pytest.approx(merged.stat().st_size, rel=0.1)


def test_counts_of_large_groups_take_two_bytes(simulate):
    merged = simulate(np.full(5000, 0.9), np.full(5000, 0.5), groups=4, ratio=(255, 256))
    assert counts._by_group(np.ones((256, 3), dtype=bool), 256).itemsize == 2
    one, two = (disk.counts_bytes(4 * size, size, 1, 5000, 0) for size in (255, 256))
    assert two - one > merged.correct_in.size * 4


def test_score_tables_have_the_order_of_size_that_is_planned(simulate, tmp_path):
    random = np.random.default_rng(0)
    merged = simulate(0.98, random.beta(0.5, 0.5, 10_000), groups=40)
    tables = {"last": scores.score_table(merged, 0.95), "epochs": scores.epoch_table(merged, 0.95)}
    for name, table in tables.items():
        table.to_parquet(tmp_path / name, index=False)
    real = sum((tmp_path / name).stat().st_size for name in tables)
    assert disk.scores_bytes(2, 10_000) == pytest.approx(real, rel=0.5)


FAMILY = {"sizes": {"title": "Sizes", "architectures": ["mlp", "resnet"]}}
LARGE = {  # enough to outweigh an archive's headers
    "mlp": {"model": "mlp", "hidden": [512], "recipe": "short"},
    "resnet": {"model": "cifar-resnet", "depth": 8, "width": 8, "recipe": "short"},
}


@pytest.mark.parametrize("architecture", LARGE)
def test_kept_weights_have_the_size_that_is_planned(tmp_path, architecture):
    data = noise_images(shape=(4, 4, 1))
    prepared.save(data, tmp_path / "data.npz")
    distillation = {"own": {"teacher": "self"}, "early": {"teacher": "self", "teacher_epoch": 1}}
    study = Study(tiny_config(architectures=LARGE, families=FAMILY, distillation=distillation))
    run, output = ("digits", architecture, "one-hot"), tmp_path / "block-0.npz"
    keep = study.teacher_epochs(*run[1:])
    assert keep == [1, 2]
    blocks.run(study.block_spec(*run, 0), tmp_path / "data.npz", output, keep=keep)
    real = (tmp_path / "block-0.weights.npz").stat().st_size
    sizes = Sizes(len(data.train), len(data.test), data.image_shape, data.n_classes)
    planned = plan._weights(study, run, study.runs_spec(*run), sizes)
    assert planned == pytest.approx(2 * real, rel=0.05)  # two blocks


def test_weights_that_nobody_learns_from_take_no_room():
    study = Study(tiny_config(families=FAMILY, distillation={"d": {"teacher": "resnet"}}))
    sizes = Sizes(70, 20, (1, 8, 8), 10)
    room = {run[1:]: plan._weights(study, run, study.runs_spec(*run), sizes) for run in study.runs}
    assert [run for run, size in room.items() if size] == [("resnet", "one-hot")]


def test_blocks_and_tables_of_proxies_have_the_order_of_size_that_is_planned(tmp_path, simulate):
    n, runs = 1200, 4
    prepared.save(noise_images(n, n_test=301, shape=(4, 4, 1)), tmp_path / "data.npz")
    study = Study(tiny_config(architectures={"mlp": ARCHITECTURES["mlp"]}, proxies={"runs": runs, "block_size": 4}))
    run, block = ("digits", "mlp", "full-data"), tmp_path / "block-0.npz"
    blocks.run(study.block_spec(*run, 0), tmp_path / "data.npz", block)
    spec = study.runs_spec(*run)
    table_only = disk.proxies_bytes(0, n)
    planned = plan._disk(study.methods["full-data"], spec, Sizes(n, 301, (1, 4, 4), 3))
    assert planned - table_only == pytest.approx(block.stat().st_size, rel=0.05)
    with np.load(block) as outcome:
        measures = [proxies.from_runs(name, outcome[f"proxy_{name}"]) for name in proxies.DIRECTIONS]
    merged = {"1/2": simulate(np.full(n, 0.9), 0.5, groups=4), "3/4": simulate(np.full(n, 0.9), 0.5, groups=4, seed=1)}
    table = proxies.example_table(next(iter(merged.values())), [*measures, *proxies.c_scores(merged)])
    table.to_parquet(tmp_path / "table", index=False)
    real = (tmp_path / "table").stat().st_size
    assert real / 2 < table_only < 2 * real
