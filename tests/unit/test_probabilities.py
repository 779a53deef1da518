"""Class probabilities and test log-odds, which runs keep for other tools where the config asks for them."""

import numpy as np
import pytest
from helpers import block_spec, half_masks, noise_images

from memflow import outcomes, provenance
from memflow.data import prepared
from memflow.training import blocks
from memflow.training.outcomes import LEVELS, unpack

DATA = noise_images()
RUNS = range(4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("probabilities")
    prepared.save(DATA, folder / "data.npz")
    provenance.write([folder / "data.npz"], {}, inputs={}, started=provenance.now())
    return folder


def trained(folder, name, architecture="mlp", block=0, **changes):
    spec = block_spec(architecture, block, **changes)
    blocks.run(spec, folder / "data.npz", folder / name)
    with np.load(folder / name) as file:
        return spec, {key: file[key] for key in file.files}


@pytest.fixture(scope="module")
def kept(folder):
    return trained(folder, "kept.npz", probabilities=True)


def test_only_what_was_asked_for_is_added(folder, kept):
    _, plain = trained(folder, "plain.npz")
    assert kept[1].keys() - plain.keys() == {"probabilities", "test_log_odds"}
    assert all(np.array_equal(kept[1][name], plain[name]) for name in plain)
    reference, _ = trained(folder, "neighbour.npz", "neighbour", probabilities=True)
    assert "probabilities" not in reference


def test_the_probability_of_the_label_is_what_its_log_odds_say(kept):
    """Log-odds travel as float16, which moves a probability by at most 0.0013 (half a step of the odds near 2)."""
    block, outside = kept[1], ~half_masks(DATA, RUNS)
    of_label = 1 / (1 + np.exp(-block["log_odds"].astype(np.float64)))
    expected = (of_label * outside).sum(axis=0)
    found = block["probabilities"][np.arange(len(DATA.train)), DATA.train.labels] / LEVELS
    assert np.allclose(found, expected, atol=0.0013 * len(RUNS))
    total = block["probabilities"].sum(axis=1) / LEVELS
    assert np.allclose(total, outside.sum(axis=0), atol=DATA.n_classes * len(RUNS) / LEVELS)


def test_test_log_odds_are_positive_where_the_label_is_beyond_doubt(kept):
    """Right is the largest logit; log-odds above 0 say that it outweighs all others together."""
    block = kept[1]
    correct = unpack(block["test_correct"][:, -1], len(DATA.test))
    assert block["test_log_odds"].shape == correct.shape
    assert correct[block["test_log_odds"] > 0.01].all()
    assert (block["test_log_odds"][~correct] <= 0.01).all()


def test_blocks_add_up_whatever_their_size(folder, kept):
    """Units of two runs, in one block or in two."""
    halves = [
        trained(folder, f"half-{block}.npz", block=block, block_size=2, probabilities=True)[1] for block in (0, 1)
    ]
    assert np.array_equal(sum(half["probabilities"] for half in halves), kept[1]["probabilities"])
    assert np.array_equal(np.concatenate([half["test_log_odds"] for half in halves]), kept[1]["test_log_odds"])


def test_means_are_over_the_runs_without_the_example(folder, kept):
    spec, block = kept
    runs = {key: value for key, value in spec.items() if key != "seeds"}
    of_counts = {"runs": runs, "seeds": 4, "block_size": 4}
    found = outcomes.read(of_counts, DATA, [folder / "kept.npz"], {})
    assert np.allclose(found.probabilities.sum(axis=1), 1, atol=1e-4)
    times = (~found.masks).sum(axis=0)[:, None]
    assert np.array_equal(np.rint(found.probabilities * times * LEVELS), block["probabilities"])
    assert found.test_log_odds.dtype == np.float16
