"""The learner for distilled students: SGD on the softened outputs of a teacher, beside the labels.

The loss of Hinton, Vinyals & Dean (2015, "Distilling the knowledge in a neural network"): ``w_label · CE(y, q) +
w_teacher · T² · KL(p ‖ q_T)``, with the teacher's ``p = softmax(z_teacher / T)`` and the student's
``q_T = softmax(z / T)``. The teacher sees what the student sees, the augmented image, in evaluation mode.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from memflow import registry
from memflow.data.prepared import Dataset
from memflow.models.fused import load_states
from memflow.training import sgd
from memflow.training.batches import Images
from memflow.training.checkpoint import Checkpoint
from memflow.training.device import autocast
from memflow.training.weights import State

BISECTIONS = 60  # halvings of [0, 1], far below the resolution of float64


def learn(
    spec: dict[str, Any],
    dataset: Dataset,
    masks: np.ndarray,
    seeds: range,
    report: Callable[[float], None],
    checkpoint: Checkpoint | None = None,
    *,
    teachers: State,
) -> dict[str, np.ndarray]:
    """Train one student per seed on its teacher; the rest as :func:`memflow.training.sgd.fit`.

    Parameters
    ----------
    spec : dict
        Also ``distillation`` (``temperature``, ``teacher_weight``, ``label_weight``, ``targets``) and ``teacher``, the
        spec of the teachers' runs.
    teachers : dict
        Weights of each seed's teacher, [M, ...] by name.
    """
    loss_on = lambda train: Distillation(spec, dataset, masks, teachers, train)  # noqa: E731
    return sgd.fit(spec, dataset, masks, seeds, report, checkpoint, loss_on=loss_on)


class Distillation:
    """The loss of students; see :class:`memflow.training.sgd.Loss`.

    Where images are not augmented, a teacher's outputs on all training images are computed once.
    """

    def __init__(
        self, spec: dict[str, Any], dataset: Dataset, masks: np.ndarray, teachers: State, train: Images
    ) -> None:
        self.settings, self.precision = spec["distillation"], spec["recipe"]["precision"]
        self.of_labels = sgd.cross_entropy(spec["recipe"]["label_smoothing"])
        self.teachers = Teachers(spec["teacher"], dataset, len(masks), teachers, train.device)
        self.table: torch.Tensor | None = None
        self.smoothing: torch.Tensor | None = None
        if self.settings["targets"] == "smoothed" or not _is_augmented(spec["recipe"]["augment"]):
            self.table = self.teachers.outputs(train, self.precision)
        if self.settings["targets"] == "smoothed":
            assert self.table is not None
            inside = torch.from_numpy(masks).to(train.device)
            self.smoothing = matched_smoothing(self.table, inside, self.settings["temperature"])

    def __call__(
        self, logits: torch.Tensor, labels: torch.Tensor, images: torch.Tensor, index: np.ndarray
    ) -> torch.Tensor:
        of_teacher, of_label = self.settings["teacher_weight"], self.settings["label_weight"]
        parts = []
        if of_teacher:
            targets = self.targets(labels, images, index, logits.shape[-1])
            parts.append(of_teacher * softened(logits, targets, self.settings["temperature"]))
        if of_label:
            parts.append(of_label * self.of_labels(logits, labels, images, index))
        return torch.stack(parts).sum()

    @torch.no_grad()
    def targets(self, labels: torch.Tensor, images: torch.Tensor, index: np.ndarray, n_classes: int) -> torch.Tensor:
        """Probabilities to learn, float32[batch, M, classes]."""
        if self.smoothing is not None:
            share = self.smoothing[:, None].float()
            return F.one_hot(labels, n_classes) * (1 - share) + share / n_classes
        if self.table is None:
            outputs = self.teachers(images, self.precision)
        else:
            positions = torch.from_numpy(index).to(self.table.device)
            outputs = self.table[torch.arange(len(index), device=positions.device)[:, None], positions].transpose(0, 1)
        return (outputs / self.settings["temperature"]).softmax(-1)


class Teachers:
    """M trained networks in evaluation mode, side by side where their architecture can be fused."""

    def __init__(self, spec: dict[str, Any], dataset: Dataset, fuse: int, state: State, device: torch.device) -> None:
        together = fuse if spec["network"] in registry.FUSED.values() else 1
        entry = spec["architecture"].items()  # without the weights that the teacher once started from
        spec = {**spec, "architecture": {key: value for key, value in entry if not key.startswith("pretrained")}}
        self.n_classes, self.together = dataset.n_classes, together
        self.networks: list[nn.Module] = []
        for start in range(0, fuse, together):
            network = sgd.initialise(spec, dataset, range(together))
            load_states(network, {name: array[start : start + together] for name, array in state.items()})
            self.networks.append(network.to(device).to(memory_format=torch.channels_last).eval())

    @torch.no_grad()
    def __call__(self, images: torch.Tensor, precision: str) -> torch.Tensor:
        """Logits float32[batch, M, classes] on images float32[batch, M * channels, height, width]."""
        with autocast(images.device, precision):
            parts = [
                sgd.by_network(
                    network(part.contiguous(memory_format=torch.channels_last)), self.together, self.n_classes
                )
                for network, part in zip(self.networks, images.chunk(len(self.networks), dim=1), strict=True)
            ]
        return torch.cat(parts, dim=1).float()

    def outputs(self, train: Images, precision: str) -> torch.Tensor:
        """Logits float32[M, n, classes] on images without augmentation."""
        parts = [sgd.logits_of(network, train, self.together, precision) for network in self.networks]
        return torch.cat(parts).clone()  # made in inference mode, which training does not accept


def softened(logits: torch.Tensor, targets: torch.Tensor, temperature: float) -> torch.Tensor:
    """``T² · KL(targets ‖ softmax(logits / T))``, summed over all but the classes; float32 of any shape [..., classes].

    As T grows it tends to half the squared distance of centred logits over the number of classes, if the targets are
    softened alike; at T = 1 with the labels as targets it is the cross-entropy with the labels.
    """
    return temperature**2 * F.kl_div((logits / temperature).log_softmax(-1), targets, reduction="sum")


def matched_smoothing(outputs: torch.Tensor, inside: torch.Tensor, temperature: float) -> torch.Tensor:
    """Label smoothing as soft as a teacher: equal in entropy to its softened outputs, averaged over its subset.

    Parameters
    ----------
    outputs : float32[M, n, classes]
        Logits.
    inside : bool[M, n]
        Examples to average over.
    temperature : float

    Returns
    -------
    float64[M]
        Share of the target spread evenly over all classes, in [0, 1].
    """
    log_p = (outputs.double() / temperature).log_softmax(-1)
    entropy = -(log_p.exp() * log_p).sum(-1)
    wanted = (entropy * inside).sum(1) / inside.sum(1)
    low, high = torch.zeros_like(wanted), torch.ones_like(wanted)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        too_soft = smoothed_entropy(middle, outputs.shape[-1]) > wanted
        low, high = torch.where(too_soft, low, middle), torch.where(too_soft, middle, high)
    return low


def smoothed_entropy(share: torch.Tensor, n_classes: int) -> torch.Tensor:
    """Entropy of a label of which a share is spread evenly over all classes."""
    other = share / n_classes
    return -torch.xlogy(1 - share + other, 1 - share + other) - (n_classes - 1) * torch.xlogy(other, other)


def _is_augmented(augment: dict[str, Any]) -> bool:
    return any(augment.values())
