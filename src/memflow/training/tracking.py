"""The learner of method ``full-data``: training on the whole training set, watched example by example.

What the passes of training give is accumulated as they happen: each number is of the batch in which the network was
trained on the example, augmented and before the step, as in the publications (Toneva et al. 2019, Pleiss et al. 2020,
Swayamdipta et al. 2020, Jiang et al. 2021). EL2N, final loss, final entropy and prediction depth are of the network in
evaluation mode on images without augmentation.
"""

import math
from collections.abc import Callable, Collection
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import nn

from memflow import registry
from memflow.data.prepared import Dataset
from memflow.errors import InputError
from memflow.training import prediction_depth, probed_layers, sgd
from memflow.training.batches import Images
from memflow.training.checkpoint import Checkpoint, State

# What is kept of every network and example: number of epochs seen, of those in which it was right, of changes from
# right to wrong; whether it was right the last time; sums over the epochs seen.
SEEN, CORRECT, FORGOTTEN, RIGHT, CONFIDENCE, SQUARED_CONFIDENCE, LOSS, MARGIN = range(8)
WAITING = 2**22  # logits of steps of one epoch that may wait to be taken in: 16 MB


def learn(
    spec: dict[str, Any],
    dataset: Dataset,
    masks: np.ndarray,
    seeds: range,
    report: Callable[[float], None],
    checkpoint: Checkpoint | None = None,
    keep: Collection[int] = (),
) -> dict[str, np.ndarray]:
    """Train one network per seed and track every training example.

    Parameters
    ----------
    spec : dict
        As for :func:`memflow.training.sgd.fit`, and ``early``: the share of the training after which EL2N is taken.
    dataset, masks, seeds, report, checkpoint, keep
        As for :func:`memflow.training.sgd.fit`.

    Returns
    -------
    dict
        As from :func:`memflow.training.sgd.fit`, and what :meth:`Tracker.outcome` tells.
    """
    tracker = Tracker(
        len(seeds),
        len(dataset.train),
        spec["recipe"],
        early_epoch(spec["early"], spec["recipe"]["epochs"]),
        layers(spec),
    )
    return sgd.fit(spec, dataset, masks, seeds, report, checkpoint, keep, tracker=tracker)


def early_epoch(early: float | str, epochs: int) -> int:
    """The epoch after which a share of the training is done, counted from 1."""
    return max(1, math.ceil(Fraction(str(early)) * epochs))


def layers(spec: dict[str, Any]) -> Callable[[Any], list[str]] | None:
    """The function that names the layers of the spec's architecture; of the user's own, from its module, or None."""
    if of_model := probed_layers.OF_MODEL.get(spec["architecture"]["model"]):
        return of_model
    try:
        return registry.resolve(f"{spec['network'].partition(':')[0]}:probed_layers")
    except InputError:  # it need not have one
        return None


class Tracker:
    """What the passes of a training say about every example.

    Parameters
    ----------
    fuse : int
        M, the number of networks that are trained side by side.
    n : int
        Training examples.
    recipe : dict
        Its ``epochs`` and ``precision``.
    early : int
        Epoch after which EL2N is taken, counted from 1.
    layers : callable, optional
        Names the modules of a network whose inputs are probed; without it there is no prediction depth.
    """

    def __init__(
        self,
        fuse: int,
        n: int,
        recipe: dict[str, Any],
        early: int,
        layers: Callable[[Any], list[str]] | None = None,
    ) -> None:
        self.epochs, self.precision, self.early, self.layers = recipe["epochs"], recipe["precision"], early, layers
        self.sums = torch.zeros(fuse, n, 8, dtype=torch.float64)  # 64 bytes per network and example
        self.waiting: list[tuple[np.ndarray, torch.Tensor, torch.Tensor]] = []
        self.el2n = np.full((fuse, n), np.nan, dtype=np.float32)

    def batch(self, index: np.ndarray, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Take in one step of training.

        Parameters
        ----------
        index : int64[M, batch]
            Examples of each network, none twice in an epoch.
        logits : float32[batch, M, classes]
        labels : int64[batch, M]
        """
        self.waiting.append((index, logits.detach(), labels))
        if sum(waiting.numel() for _, waiting, _ in self.waiting) >= WAITING:
            self._take_in()

    @torch.no_grad()
    def _take_in(self) -> None:
        """Add up the steps that wait: many at once, for each of these small operations costs the same."""
        indices, logits, labels = zip(*self.waiting, strict=True)
        self.waiting = []
        z, label = torch.cat(logits).transpose(0, 1).contiguous(), torch.cat(labels).T[..., None]
        log_p = z.log_softmax(-1).gather(-1, label)[..., 0].double()
        confidence = log_p.exp()
        margin = z.gather(-1, label)[..., 0] - z.scatter(-1, label, -torch.inf).amax(-1)
        right = (z.argmax(-1) == label[..., 0]).double()
        self.sums = self.sums.to(z.device)
        where = (
            torch.arange(len(z), device=z.device)[:, None],
            torch.from_numpy(np.concatenate(indices, axis=1)).to(z.device),
        )
        before = self.sums[where]
        was_right = before[..., RIGHT]
        one = torch.ones_like(right)
        news = [one, right, was_right * (1 - right), right - was_right, confidence, confidence**2, -log_p, margin]
        self.sums[where] = before + torch.stack(news, dim=-1)  # assigned, not accumulated: sums that have no order

    def epoch_done(self, epoch: int, network: nn.Module, train: Images) -> None:
        """Take in the end of an epoch, counted from 1; leaves the network in evaluation mode."""
        if self.waiting:
            self._take_in()
        if epoch == 1 and self.layers:
            prediction_depth.check(network, self.layers(network))  # now rather than after hours
        if epoch == self.early:
            probabilities = sgd.logits_of(network.eval(), train, len(self.sums), self.precision).softmax(-1)
            errors = probabilities - torch.eye(train.n_classes, device=train.device)[train.labels]
            self.el2n = errors.norm(dim=-1).cpu().numpy()

    def state(self) -> State:
        """All that was taken in so far."""
        return {"sums": self.sums.cpu().numpy(), "el2n": self.el2n}

    def restore(self, state: State) -> None:
        """Go on from a state."""
        self.sums, self.el2n = torch.from_numpy(state["sums"]), state["el2n"]

    def outcome(self, network: nn.Module, train: Images) -> dict[str, np.ndarray]:
        """What is known at the end of the training, float32[M, n] each.

        T is the number of epochs in which the network was trained on the example: only full batches are used, so every
        epoch leaves a few out. An example that was never seen has NaN in what comes from the passes of training.

        Returns
        -------
        dict
            ``proxy_cumulative_accuracy`` and ``proxy_cumulative_confidence``: mean over T. ``proxy_cumulative_loss``:
            mean over T times all epochs, so that examples left out more often compare. ``proxy_forgetting``: changes
            from right to wrong; of an example never right, all epochs. ``proxy_aum``: mean over T of the label's logit
            less the largest other. ``proxy_data_map_variability``: standard deviation over T of the confidence.
            ``proxy_el2n``, ``proxy_final_entropy``, ``proxy_final_loss``; ``proxy_prediction_depth`` if the
            architecture names layers.
        """
        logits = sgd.logits_of(network.eval(), train, len(self.sums), self.precision)
        log_p = logits.log_softmax(-1)
        own = log_p.gather(-1, train.labels.expand(len(logits), -1)[..., None])[..., 0]
        told = self._of_training() | {
            "el2n": self.el2n,
            "final_entropy": -(log_p.exp() * log_p).sum(-1).cpu().numpy(),
            "final_loss": -own.cpu().numpy(),
        }
        if self.layers:
            names = self.layers(network)
            told["prediction_depth"] = prediction_depth.measure(network, train, names, logits, self.precision)
        return {f"proxy_{name}": array.astype(np.float32) for name, array in told.items()}

    def _of_training(self) -> dict[str, np.ndarray]:
        """What the passes of training gave, float64[M, n] each."""
        sums = self.sums.cpu().numpy()
        seen = np.where(sums[..., SEEN] > 0, sums[..., SEEN], np.nan)
        mean = sums / seen[..., None]
        never_right = sums[..., CORRECT] == 0
        variance = mean[..., SQUARED_CONFIDENCE] - mean[..., CONFIDENCE] ** 2
        return {
            "cumulative_accuracy": mean[..., CORRECT],
            "cumulative_confidence": mean[..., CONFIDENCE],
            "cumulative_loss": mean[..., LOSS] * self.epochs,
            "forgetting": np.where(np.isnan(seen), np.nan, np.where(never_right, self.epochs, sums[..., FORGOTTEN])),
            "aum": mean[..., MARGIN],
            "data_map_variability": np.sqrt(np.maximum(variance, 0)),  # rounding may leave less than nothing
        }
