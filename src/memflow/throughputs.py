"""Documented throughputs of GPUs: a first idea of what training takes where nothing was measured.

The images that a run goes through, over the images per second that someone documented for a network of its kind, times
the ratio of multiply-adds per image. That a GPU does as many multiply-adds per second on smaller images and smaller
networks is an assumption, and a hopeful one: they keep it less busy.
"""

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memflow import registry
from memflow.workload import Workload

TABLE = Path(__file__).resolve().parents[2] / "profiles" / "throughputs.csv"
FORWARD = 3  # a forward pass is about a third of a training step; where no throughput of evaluation is documented


@dataclass(frozen=True)
class Throughput:
    """One row of the table.

    Attributes
    ----------
    model, variant : str
        The model of a config that it stands for, and which: its depth or its size.
    network, device, precision : str
        What was measured, as its source names it, on what, and how.
    image_size : int
        Height and width.
    train_per_second, infer_per_second : float
        Images.
    gmacs : float
        Multiply-adds per image of a forward pass, 1e9.
    """

    model: str
    variant: str
    network: str
    device: str
    precision: str
    image_size: int
    train_per_second: float
    infer_per_second: float
    gmacs: float


@dataclass(frozen=True)
class Estimate:
    """What one run takes by a documented throughput.

    Attributes
    ----------
    source : Throughput
    gmacs : float
        Multiply-adds per image of a forward pass of the run's network, 1e9.
    work : Workload
    teacher_gmacs : float
        Of its teacher's network, which sees every augmented image; 0 where there is none, or nothing is augmented.
    """

    source: Throughput
    gmacs: float
    work: Workload
    teacher_gmacs: float = 0.0

    @property
    def seconds(self) -> float:
        """Of the source's device."""
        trained, evaluated = self.work.epochs * self.work.trained, self.work.evaluations * self.work.evaluated
        as_documented = trained / self.source.train_per_second + evaluated / self.source.infer_per_second
        taught = trained / self.source.infer_per_second
        return (self.gmacs * as_documented + self.teacher_gmacs * taught) / self.source.gmacs


def read(path: Path = TABLE) -> list[Throughput]:
    """The rows of the table. Its further columns say where a row is from and how it was measured."""
    with open(path, encoding="utf-8", newline="") as file:
        return [_row(cells) for cells in csv.DictReader(file)]


def find(rows: list[Throughput], architecture: dict[str, Any], gmacs: float) -> Throughput:
    """The row of an architecture's depth or size, or else that of its model with the closest multiply-adds.

    Parameters
    ----------
    rows : list of Throughput
        One of them at least is of the architecture's model.
    architecture : dict
        ``model`` and its arguments.
    gmacs : float
    """
    variant = str(architecture.get("depth", architecture.get("size")))
    kin = [row for row in rows if row.model == architecture["model"]]
    return min(kin, key=lambda row: (row.variant != variant, abs(math.log(row.gmacs / gmacs))))


def estimate(
    rows: list[Throughput], spec: dict[str, Any], work: Workload, image_shape: tuple[int, int, int], n_classes: int
) -> Estimate | None:
    """Estimate of one run; None if no row is of its model.

    Parameters
    ----------
    rows : list of Throughput
    spec : dict
        From :meth:`memflow.config.Study.runs_spec`, of a network.
    work : Workload
    image_shape : tuple of int
        Channels, height, width.
    n_classes : int
    """
    if spec["architecture"]["model"] not in {row.model for row in rows}:
        return None
    gmacs, of_teacher = multiply_adds(spec, image_shape, n_classes) / 1e9, 0.0
    if "teacher" in spec and any(spec["recipe"]["augment"].values()):
        of_teacher = multiply_adds(spec["teacher"], image_shape, n_classes) / 1e9
    return Estimate(find(rows, spec["architecture"], gmacs), gmacs, work, of_teacher)


def multiply_adds(spec: dict[str, Any], image_shape: tuple[int, int, int], n_classes: int) -> int:
    """Multiply-adds of convolutions and matrix products in one forward pass of one image, without computing any."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    network = _built(spec, image_shape, n_classes)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.empty(1, *image_shape, device="meta"))
    return counter.get_total_flops() // 2


def weights_bytes(spec: dict[str, Any], image_shape: tuple[int, int, int], n_classes: int) -> int:
    """Bytes of the parameters and buffers of one network."""
    tensors = _built(spec, image_shape, n_classes).state_dict().values()
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _built(spec: dict[str, Any], image_shape: tuple[int, int, int], n_classes: int) -> Any:
    """A network without values: it takes no memory, and pretrained weights are not fetched."""
    import torch

    entry = spec["architecture"].items()
    arguments = {key: value for key, value in entry if key != "model" and not key.startswith("pretrained")}
    with torch.device("meta"):
        return registry.resolve(spec["network"])(image_shape, n_classes, **arguments).eval()


def _row(cells: dict[str, str]) -> Throughput:
    train, infer = float(cells["train_per_second"]), cells["infer_per_second"]
    return Throughput(
        model=cells["model"],
        variant=cells["variant"],
        network=cells["network"],
        device=cells["device"],
        precision=cells["precision"],
        image_size=int(cells["image_size"]),
        train_per_second=train,
        infer_per_second=float(infer) if infer else FORWARD * train,
        gmacs=float(cells["gmacs"]),
    )
