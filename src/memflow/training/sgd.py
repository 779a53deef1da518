"""The learner for networks: SGD with Nesterov momentum over M seeds side by side."""

from collections.abc import Callable, Collection
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.sgd import sgd  # the class torch.optim.SGD wraps this function, and imports 2 s of compiler

from memflow import registry, rng
from memflow.data.prepared import Dataset
from memflow.errors import InputError
from memflow.models.fused import states_of
from memflow.training import schedules, weights
from memflow.training.batches import Images, epoch_order
from memflow.training.checkpoint import Checkpoint, State
from memflow.training.device import autocast, prepare_device
from memflow.training.outcomes import LEVELS
from memflow.workload import evaluated_epochs, full_batches

EVALUATION_BATCH = {"cpu": 64, "cuda": 1024}
NORMALISATION = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
NO_AUGMENTATION = {"crop": 0, "translate": 0, "flip": False}


class Loss(Protocol):
    """What a training step minimises."""

    def __call__(
        self, logits: torch.Tensor, labels: torch.Tensor, images: torch.Tensor, index: np.ndarray
    ) -> torch.Tensor:
        """The sum over a batch: logits float32[batch, M, classes], labels int64[batch, M], the images that gave the
        logits, float32[batch, M * channels, height, width], and their positions int64[M, batch]."""
        ...


class Tracker(Protocol):
    """What watches a training, example by example; see :mod:`memflow.training.tracking`."""

    def batch(self, index: np.ndarray, logits: torch.Tensor, labels: torch.Tensor) -> None: ...
    def epoch_done(self, epoch: int, network: nn.Module, train: Images) -> None: ...
    def state(self) -> State: ...
    def restore(self, state: State) -> None: ...
    def outcome(self, network: nn.Module, train: Images) -> dict[str, np.ndarray]: ...


def learn(
    spec: dict[str, Any],
    dataset: Dataset,
    masks: np.ndarray,
    seeds: range,
    report: Callable[[float], None],
    checkpoint: Checkpoint | None = None,
    keep: Collection[int] = (),
) -> dict[str, np.ndarray]:
    """Train one network per seed on its subset and its labels; see :func:`fit`."""
    return fit(spec, dataset, masks, seeds, report, checkpoint, keep)


def fit(
    spec: dict[str, Any],
    dataset: Dataset,
    masks: np.ndarray,
    seeds: range,
    report: Callable[[float], None],
    checkpoint: Checkpoint | None = None,
    keep: Collection[int] = (),
    loss_on: Callable[[Images], Loss] | None = None,
    tracker: Tracker | None = None,
) -> dict[str, np.ndarray]:
    """Train one network per seed on its subset and record, for every example, whether it got it right.

    Parameters
    ----------
    spec : dict
        Its ``architecture`` (model and its arguments), ``network`` ("module:function"), ``recipe`` and ``ratio``.
    dataset : Dataset
    masks : bool[M, n_train]
        In-sample examples of each seed.
    seeds : range
        The M seeds that are trained side by side; initial weights, order and augmentation of a network follow from its
        own seed.
    report : callable
        Called after each epoch with the share of the training that is done.
    checkpoint : Checkpoint, optional
        Where an earlier job may have left off, and where this one keeps what it has reached.
    keep : collection of int
        Epochs after which the weights are kept.
    loss_on : callable, optional
        Makes the loss for the training images; cross-entropy with the labels without.
    tracker : Tracker, optional

    Returns
    -------
    dict
        ``epochs`` int32[E]: the evaluated epochs. ``train_correct``, ``test_correct`` bool[M, E, n]: is the largest
        logit that of the label? ``log_odds`` float16[M, n_train]: ``z_y - logsumexp_{j != y} z_j`` after the last
        epoch. ``losses`` float32[M, E, 3]: mean cross-entropy in-sample, out-of-sample and on the test split. All on
        images without augmentation. ``parameters`` int64: size of one network, frozen parameters too. Weights that are
        kept, each [M, ...], named by :func:`memflow.training.weights.named`. What the tracker tells. Where the spec has
        ``probabilities``: what :func:`_for_other_tools` gives.
    """
    recipe = spec["recipe"]
    device = prepare_device(recipe["precision"])
    train = Images(dataset, dataset.train, recipe["augment"], device)
    test = Images(dataset, dataset.test, NO_AUGMENTATION, device)
    loss = loss_on(train) if loss_on else cross_entropy(recipe["label_smoothing"])
    network = initialise(spec, dataset, seeds).to(device).to(memory_format=torch.channels_last)
    momentum: list[torch.Tensor | None] = [None for _ in _trained(network)]
    steps = steps_per_epoch(recipe, Fraction(spec["ratio"]), len(dataset.train))
    evaluated = evaluated_epochs(recipe)
    first, records, kept = 0, list[dict[str, np.ndarray]](), dict[str, np.ndarray]()
    if checkpoint and (state := checkpoint.load()):
        first, records, kept = _restore(state, network, momentum, device, tracker)
    for epoch in range(first, recipe["epochs"]):
        _train_epoch(network, momentum, train, masks, seeds, recipe, epoch, steps, loss, tracker)
        if tracker:
            tracker.epoch_done(epoch + 1, network, train)
        if epoch + 1 in evaluated:
            records.append(_evaluate(network, train, test, masks, recipe))
        if epoch + 1 in keep:
            kept |= weights.named(epoch + 1, states_of(network, len(seeds)))
        if checkpoint and checkpoint.is_due():
            checkpoint.save(_state(epoch + 1, records, kept, network, momentum, tracker))
        report((epoch + 1) / recipe["epochs"])
    parameters = sum(parameter.numel() for parameter in network.parameters()) // len(seeds)
    told = tracker.outcome(network, train) if tracker else {}
    if spec.get("probabilities"):
        told |= _for_other_tools(network, train, test, masks, recipe["precision"])
    return {**_stack(evaluated, records), "parameters": np.array(parameters), **kept, **told}


def initialise(spec: dict[str, Any], dataset: Dataset, seeds: range) -> nn.Module:
    """The networks of some seeds side by side, each with the initial weights that its seed gives alone.

    A student of its own architecture starts elsewhere than its teacher, of the same seed, did: from equal weights it
    would follow more closely than what it is taught explains.
    """
    build = registry.resolve(spec["network"])
    arguments = {key: value for key, value in spec["architecture"].items() if key != "model"}
    is_twin = spec.get("teacher", {}).get("architecture") == spec["architecture"]
    purpose = "initial weights of a teacher's twin" if is_twin else "initial weights"
    networks = []
    for seed in seeds:
        torch.manual_seed(rng.torch_seed(purpose, (seed,)))
        try:
            networks.append(build(dataset.image_shape, dataset.n_classes, **arguments))
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{spec['network']} builds no network for images {dataset.image_shape}, {dataset.n_classes} classes "
                f"and {arguments}: {error}"
            ) from error
    if len(seeds) == 1:
        return networks[0]
    states = [network.state_dict() for network in networks]
    fused = build(dataset.image_shape, dataset.n_classes, **arguments, fuse=len(seeds))
    fused.load_state_dict({name: _side_by_side([state[name] for state in states]) for name in states[0]})
    return fused


def steps_per_epoch(recipe: dict[str, Any], ratio: Fraction, n: int) -> int:
    """Full batches in one epoch: the same for every run, though subset sizes differ by a few examples."""
    steps = full_batches(recipe, ratio, n)
    if not steps:
        raise InputError(
            f"recipe.batch_size is {recipe['batch_size']}, but a subset has only {int(ratio * n)} of the {n} training "
            "examples; only full batches are used: choose a smaller one"
        )
    return steps


def cross_entropy(label_smoothing: float) -> Loss:
    """The loss of a network that learns from labels only."""

    def loss(logits: torch.Tensor, labels: torch.Tensor, images: torch.Tensor, index: np.ndarray) -> torch.Tensor:
        flat = logits.flatten(0, 1), labels.flatten()
        return F.cross_entropy(*flat, reduction="sum", label_smoothing=label_smoothing)

    return loss


def _state(
    epochs: int,
    records: list[dict[str, np.ndarray]],
    kept: dict[str, np.ndarray],
    network: nn.Module,
    momentum: list[torch.Tensor | None],
    tracker: Tracker | None,
) -> State:
    """All that decides the rest of the training, as named arrays."""
    state = {"epochs": np.array(epochs)}
    state |= {f"kept {name}": array for name, array in kept.items()}
    state |= {f"tracked {name}": array for name, array in (tracker.state() if tracker else {}).items()}
    state |= {f"network {name}": tensor.cpu().numpy() for name, tensor in network.state_dict().items()}
    state |= {f"momentum {i}": tensor.cpu().numpy() for i, tensor in enumerate(momentum) if tensor is not None}
    return state | {f"record {i} {name}": array for i, record in enumerate(records) for name, array in record.items()}


def _restore(
    state: State,
    network: nn.Module,
    momentum: list[torch.Tensor | None],
    device: torch.device,
    tracker: Tracker | None,
) -> tuple[int, list[dict[str, np.ndarray]], dict[str, np.ndarray]]:
    """Put a state into network, momentum and tracker; the epochs already trained, their records, and kept weights."""
    parts: dict[str, dict[str, np.ndarray]] = {"network": {}, "momentum": {}, "record": {}, "kept": {}, "tracked": {}}
    for name, array in state.items():
        kind, _, rest = name.partition(" ")
        if kind in parts:
            parts[kind][rest] = array
    network.load_state_dict({name: torch.from_numpy(array) for name, array in parts["network"].items()})
    for i, array in parts["momentum"].items():
        momentum[int(i)] = torch.from_numpy(array).to(device)
    records: dict[int, dict[str, np.ndarray]] = {}
    for name, array in parts["record"].items():
        i, _, rest = name.partition(" ")
        records.setdefault(int(i), {})[rest] = array
    if tracker:
        tracker.restore(parts["tracked"])
    return int(state["epochs"]), [records[i] for i in sorted(records)], parts["kept"]


def _side_by_side(tensors: list[torch.Tensor]) -> torch.Tensor:
    """Stack one parameter of several networks; a scalar (the step counter of batch norm) is shared."""
    return torch.cat(tensors) if tensors[0].ndim else tensors[0]


def _train_epoch(
    network: nn.Module,
    momentum: list[torch.Tensor | None],
    train: Images,
    masks: np.ndarray,
    seeds: range,
    recipe: dict[str, Any],
    epoch: int,
    steps: int,
    loss: Loss,
    tracker: Tracker | None = None,
) -> None:
    network.train()
    torch.manual_seed(rng.torch_seed("dropout", (seeds.start, epoch)))
    parameters = _trained(network)
    decays = _weight_decays(network, recipe)
    batch = recipe["batch_size"]
    order = np.stack([epoch_order(mask, seed, epoch, steps * batch) for mask, seed in zip(masks, seeds, strict=True)])
    draws = np.stack([rng.raw("augmentation", (seed, epoch), steps * batch) for seed in seeds])
    for step in range(steps):
        now = slice(step * batch, (step + 1) * batch)
        images, labels = train.batch(order[:, now], draws[:, now])
        rate = schedules.factor(recipe["schedule"], epoch + step / steps, recipe["epochs"])
        with autocast(train.device, recipe["precision"]):
            logits = by_network(network(images), len(seeds), train.n_classes).float()
        gradients = torch.autograd.grad(loss(logits, labels, images, order[:, now]) / batch, parameters)
        if tracker:
            tracker.batch(order[:, now], logits, labels)
        for weight_decay, members in decays.items():
            velocities = [momentum[i] for i in members]
            with torch.no_grad():
                sgd(
                    [parameters[i] for i in members],
                    [gradients[i] for i in members],
                    velocities,
                    lr=recipe["learning_rate"] * rate,
                    momentum=recipe["momentum"],
                    weight_decay=weight_decay,
                    nesterov=recipe["momentum"] > 0,
                    dampening=0.0,
                    maximize=False,
                )
            for i, velocity in zip(members, velocities, strict=True):
                momentum[i] = velocity


def _trained(network: nn.Module) -> list[nn.Parameter]:
    """The parameters that are not frozen."""
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def _weight_decays(network: nn.Module, recipe: dict[str, Any]) -> dict[float, list[int]]:
    """Positions of the parameters under each weight decay: normalisation layers may go without."""
    spared = {
        id(parameter)
        for module in network.modules()
        if isinstance(module, NORMALISATION) and not recipe["decay_normalisation"]
        for parameter in module.parameters(recurse=False)
    }
    decays: dict[float, list[int]] = {}
    for i, parameter in enumerate(_trained(network)):
        decays.setdefault(0.0 if id(parameter) in spared else recipe["weight_decay"], []).append(i)
    return decays


def by_network(logits: torch.Tensor, fuse: int, n_classes: int) -> torch.Tensor:
    """Logits as [batch, M, classes]; an architecture that knows no fusing gives [batch, classes]."""
    if logits.shape[1:] != (fuse, n_classes) and (fuse, *logits.shape[1:]) != (1, n_classes):
        raise InputError(f"the network gives outputs {list(logits.shape)} instead of [batch, {n_classes}] logits")
    return logits.reshape(len(logits), fuse, n_classes)


@torch.inference_mode()
def _evaluate(
    network: nn.Module, train: Images, test: Images, masks: np.ndarray, recipe: dict[str, Any]
) -> dict[str, np.ndarray]:
    """Correctness and losses of one epoch, and the log-odds of the label on the training split."""
    network.eval()
    train_logits = logits_of(network, train, len(masks), recipe["precision"])
    test_logits = logits_of(network, test, len(masks), recipe["precision"])
    train_loss, test_loss = _losses(train_logits, train.labels), _losses(test_logits, test.labels)
    inside = torch.from_numpy(masks).to(train.device)
    losses = [_masked_mean(train_loss, inside), _masked_mean(train_loss, ~inside), test_loss.mean(1)]
    return {
        "train_correct": (train_logits.argmax(-1) == train.labels).cpu().numpy(),
        "test_correct": (test_logits.argmax(-1) == test.labels).cpu().numpy(),
        "log_odds": _log_odds(train_logits, train.labels).half().cpu().numpy(),
        "losses": torch.stack(losses, dim=1).cpu().numpy(),
    }


@torch.inference_mode()
def logits_of(network: nn.Module, images: Images, fuse: int, precision: str) -> torch.Tensor:
    """float32[M, n, classes] on images without augmentation."""
    size = EVALUATION_BATCH[images.device.type]
    parts = []
    with autocast(images.device, precision):
        for start in range(0, len(images.labels), size):
            batch = images.plain(slice(start, start + size)).repeat(1, fuse, 1, 1)
            logits = network(batch.contiguous(memory_format=torch.channels_last))
            parts.append(by_network(logits.float(), fuse, images.n_classes))
    return torch.cat(parts).transpose(0, 1)


@torch.inference_mode()
def _for_other_tools(
    network: nn.Module, train: Images, test: Images, masks: np.ndarray, precision: str
) -> dict[str, np.ndarray]:
    """What memflow itself does not need, after the last epoch.

    Returns
    -------
    dict
        ``probabilities`` uint32[n_train, classes]: those of the networks that did not have the example, each rounded to
        :data:`LEVELS` steps, added up: sums of whole numbers do not depend on their order. ``test_log_odds``
        float16[M, n_test].
    """
    network.eval()
    test_logits = logits_of(network, test, len(masks), precision)
    levels = (logits_of(network, train, len(masks), precision).softmax(-1) * LEVELS).round().to(torch.int32)
    outside = torch.from_numpy(~masks).to(levels.device)
    summed = (levels * outside[..., None]).sum(0)
    return {
        "probabilities": summed.cpu().numpy().astype(np.uint32),
        "test_log_odds": _log_odds(test_logits, test.labels).half().cpu().numpy(),
    }


def _losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy per network and example, float32[M, n]."""
    return -logits.log_softmax(-1).gather(-1, labels.expand(len(logits), -1)[..., None])[..., 0]


def _log_odds(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """``z_y - logsumexp_{j != y} z_j``, float32[M, n]."""
    of_label = labels.expand(len(logits), -1)[..., None]
    others = logits.scatter(-1, of_label, -torch.inf).logsumexp(-1)
    return logits.gather(-1, of_label)[..., 0] - others


def _masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (values * mask).sum(1) / mask.sum(1)


def _stack(evaluated: list[int], records: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Records of the evaluated epochs as one outcome, runs first."""
    outcome = {
        name: np.stack([r[name] for r in records], axis=1) for name in ("train_correct", "test_correct", "losses")
    }
    return {"epochs": np.array(evaluated, dtype=np.int32), **outcome, "log_odds": records[-1]["log_odds"]}
