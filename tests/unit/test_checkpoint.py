import numpy as np
import pytest
from helpers import block_spec, half_masks, noise_images

from memflow.data import prepared
from memflow.training import blocks, sgd
from memflow.training.checkpoint import Checkpoint


class Killed(Exception):
    pass


@pytest.fixture(params=["mlp", "resnet"])
def spec(request):
    return block_spec(request.param, recipe={"epochs": 5, "evaluate_every": 2, "momentum": 0.9})


def train(spec, checkpoint=None, killed_after=None):
    dataset, reported = noise_images(), []

    def report(share):
        reported.append(share)
        if len(reported) == killed_after:
            raise Killed

    outcome = sgd.learn(spec, dataset, half_masks(dataset, range(2)), range(2), report, checkpoint)
    return outcome, reported


@pytest.mark.parametrize("killed_after", [1, 2, 3, 4])
def test_a_killed_unit_goes_on_where_it_was_and_ends_with_the_same_bits(spec, tmp_path, killed_after):
    undisturbed, _ = train(spec)
    with pytest.raises(Killed):
        train(spec, Checkpoint(tmp_path / "unit.npz", 0), killed_after)
    resumed, reported = train(spec, Checkpoint(tmp_path / "unit.npz", 0))
    assert len(reported) == 5 - killed_after
    assert resumed.keys() == undisturbed.keys()
    for name, array in undisturbed.items():
        assert array.tobytes() == resumed[name].tobytes(), name


def test_a_unit_killed_twice_is_the_same_too(spec, tmp_path):
    for _ in range(2):
        with pytest.raises(Killed):
            train(spec, Checkpoint(tmp_path / "unit.npz", 0), killed_after=2)
    resumed, reported = train(spec, Checkpoint(tmp_path / "unit.npz", 0))
    assert len(reported) == 1
    assert resumed["train_correct"].tobytes() == train(spec)[0]["train_correct"].tobytes()
    assert resumed["log_odds"].tobytes() == train(spec)[0]["log_odds"].tobytes()


def test_nothing_is_written_before_it_is_due(spec, tmp_path):
    train(spec, Checkpoint(tmp_path / "unit.npz", 3600))
    assert not list(tmp_path.iterdir())


def test_a_damaged_checkpoint_is_said_and_not_used(spec, tmp_path, caplog):
    path = tmp_path / "unit.npz"
    with pytest.raises(Killed):
        train(spec, Checkpoint(path, 0), killed_after=2)
    path.write_bytes(path.read_bytes()[:-40])
    resumed, reported = train(spec, Checkpoint(path, 3600))
    assert "damaged" in caplog.text
    assert len(reported) == 5
    assert resumed["log_odds"].tobytes() == train(spec)[0]["log_odds"].tobytes()


def test_a_block_that_was_killed_inside_a_unit_continues_it_and_cleans_up(tmp_path, monkeypatch):
    spec = block_spec("mlp", recipe={"epochs": 4})
    dataset, block = tmp_path / "data.npz", tmp_path / "block-0.npz"
    prepared.save(noise_images(), dataset)
    blocks.run(spec, dataset, tmp_path / "undisturbed" / "block-0.npz")

    steps = []
    step = sgd._train_epoch

    def killed_in_the_seventh_epoch(*arguments):
        steps.append(arguments)
        if len(steps) == 7:  # the second unit's third epoch
            raise Killed
        return step(*arguments)

    monkeypatch.setattr(sgd, "_train_epoch", killed_in_the_seventh_epoch)
    with pytest.raises(Killed):
        blocks.run(spec, dataset, block, checkpoint_minutes=0)
    kept = sorted(path.name for path in tmp_path.rglob("*.npz") if ".partial" in str(path))
    assert kept == ["seed-0.npz", "seed-2.checkpoint.npz"]
    blocks.run(spec, dataset, block, checkpoint_minutes=0)
    assert len(steps) == 7 + 2
    assert block.read_bytes() == (tmp_path / "undisturbed" / "block-0.npz").read_bytes()
    assert not list(tmp_path.rglob("*.partial"))


def test_the_state_holds_what_was_evaluated_so_far(tmp_path):
    spec = block_spec("mlp", recipe={"epochs": 4, "evaluate_every": 1})
    with pytest.raises(Killed):
        train(spec, Checkpoint(tmp_path / "unit.npz", 0), killed_after=3)
    state = Checkpoint(tmp_path / "unit.npz", 0).load()
    assert int(state["epochs"]) == 3
    assert {name.split()[1] for name in state if name.startswith("record")} == {"0", "1", "2"}
    assert all(isinstance(array, np.ndarray) for array in state.values())
