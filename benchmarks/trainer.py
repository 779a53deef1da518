"""memflow's trainer against the plain one of reference_trainer.py, each on one thread, in turn in one process."""

import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import reference_trainer
import torch
from timing import Row, interleave, progress

from memflow import subsets
from memflow.data.prepared import Dataset, Split
from memflow.training import sgd
from memflow.training.batches import Images

CLASSES, N_TRAIN, N_TEST = 10, 2000, 2000
RATIO, BATCH, LEARNING_RATE = Fraction(7, 10), 64, 0.05
ROUNDS = 8


class Trainer:
    """memflow's trainer, epoch by epoch."""

    def __init__(self, dataset: Dataset, masks: np.ndarray, precision: str) -> None:
        self.masks, self.epoch = masks, 0
        self.recipe: dict[str, Any] = {
            "epochs": ROUNDS,
            "batch_size": BATCH,
            "learning_rate": LEARNING_RATE,
            "momentum": 0.9,
            "weight_decay": 5e-4,
            "schedule": {"shape": "step", "milestones": [], "factor": 1, "warmup_epochs": 0},
            "precision": precision,
        }
        architecture = {"model": "cifar-resnet", "depth": 8, "width": 16}
        spec = {"architecture": architecture, "network": "memflow.models.resnet:build"}
        augment, device = {"crop": 4, "translate": 0, "flip": True}, torch.device("cpu")
        self.train = Images(dataset, dataset.train, augment, device)
        self.test = Images(dataset, dataset.test, sgd.NO_AUGMENTATION, device)
        self.network = sgd.initialise(spec, dataset, range(1)).to(memory_format=torch.channels_last)
        self.momentum: list[torch.Tensor | None] = [None for _ in self.network.parameters()]

    def train_epoch(self) -> int:
        """One pass over the subset; the number of steps."""
        steps = sgd.steps_per_epoch(self.recipe, RATIO, N_TRAIN)
        sgd._train_epoch(self.network, self.momentum, self.train, self.masks, range(1), self.recipe, self.epoch, steps)
        self.epoch += 1
        return steps

    def evaluate(self) -> dict[str, np.ndarray]:
        """What a block file keeps of every example of both splits."""
        return sgd._evaluate(self.network, self.train, self.test, self.masks, self.recipe)


def measure() -> list[Row]:
    """Ratios of CPU time in training and in evaluation."""
    torch.set_num_threads(1)
    amx = torch.cpu._is_amx_tile_supported()
    dataset = synthetic()
    masks = subsets.masks("balanced", RATIO, range(1), np.arange(N_TRAIN))
    ours = Trainer(dataset, masks, "bf16" if amx else "fp32")
    splits = ((split.images, split.labels) for split in (dataset.train, dataset.test))
    plain = reference_trainer.Trainer(*splits, np.flatnonzero(masks[0]), CLASSES, BATCH, LEARNING_RATE)
    training = interleave(lambda: seconds(plain.train_epoch), lambda: seconds(ours.train_epoch), ROUNDS)
    evaluation = interleave(lambda: seconds(plain.evaluate), lambda: seconds(ours.evaluate), ROUNDS)
    check_same_work(ours, plain)
    rows = []
    for name, pairs, target in (("training", training, 2.3), ("evaluation", evaluation, 4)):
        ratios = [reference / own for reference, own in pairs]
        terms = "against a plain trainer; CPU" + ("" if amx else "; fp32, for there is no AMX here")
        rows.append(Row(f"{name}, ResNet-8, 3×32×32", terms, "×", ratios, target if amx else None, True))
    return rows


def synthetic() -> Dataset:
    """Images of 3x32x32 that a network can learn: a smooth pattern for each class, in noise."""
    random = np.random.default_rng(0)
    patterns = random.normal(size=(CLASSES, 4, 4, 3)).repeat(8, axis=1).repeat(8, axis=2)

    def split(n: int) -> Split:
        labels = random.integers(0, CLASSES, n, dtype=np.int32)
        images = 128 + 25 * patterns[labels] + 50 * random.normal(size=(n, 32, 32, 3))
        return Split(np.clip(images, 0, 255).astype(np.uint8), labels, np.arange(n, dtype=np.int32))

    train, test = split(N_TRAIN), split(N_TEST)
    names = [str(name) for name in range(CLASSES)]
    return Dataset.unflagged(train, test, names)


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of some work in this process."""
    started = time.process_time()
    work()
    return time.process_time() - started


def check_same_work(ours: Trainer, plain: reference_trainer.Trainer) -> None:
    """Refuse to compare trainers of different networks, of different numbers of steps, or of which one learns less."""
    sizes = [sum(p.numel() for p in trainer.network.parameters()) for trainer in (ours, plain)]
    steps = [trainer.train_epoch() for trainer in (ours, plain)]
    losses = [float(ours.evaluate()["losses"][0, 2]), float(plain.evaluate()[1][1].mean())]
    progress(f"  parameters {sizes}, steps in an epoch {steps}, test loss after {ROUNDS + 1} epochs {losses}")
    if len(set(sizes)) > 1 or len(set(steps)) > 1 or abs(losses[0] - losses[1]) > 0.3:
        raise RuntimeError("the two trainers do not do the same work")
