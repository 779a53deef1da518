"""What every architecture must do: train a step, evaluate, be the same for the same seed."""

import re
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

torch.set_num_threads(1)  # two threads on busy cores wait for each other most of the time

# Backward passes that torch.use_deterministic_algorithms lists as having no deterministic form on GPUs.
NONDETERMINISTIC = re.compile("AdaptiveAvg|AdaptiveMax|AvgPool3D|Upsample|Reflection|Fractional|Unpool|GridSampler|Ctc")


def count_parameters(build: Callable[[], nn.Module]) -> int:
    """Of a network that is not really made: counting the largest takes no time."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build().parameters())


def check_training(
    network: nn.Module, shape: tuple[int, int, int], n_classes: int, without_gradient: str = "-"
) -> None:
    """One SGD step on a batch of two, and an evaluation; gradients reach all but the parameters named by a regex."""
    images = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    network.train()
    logits = network(images)
    assert logits.shape == (2, n_classes)
    assert not {node for node in _backward_nodes(logits) if NONDETERMINISTIC.search(node)}
    F.cross_entropy(logits, torch.tensor([0, 1])).backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert [name for name in silent if not re.search(without_gradient, name)] == []
    with torch.no_grad():
        for parameter in network.parameters():
            parameter -= 0.01 * parameter.grad
    network.eval()
    with torch.inference_mode():
        after = network(images)
    assert after.isfinite().all()
    assert not torch.equal(after, logits)


def same_for_the_same_seed(build: Callable[[], nn.Module]) -> bool:
    """Are the initial weights of one seed equal bit for bit, and those of another not?"""
    one, again, other = (_seeded(build, seed) for seed in (3, 3, 4))
    return all(torch.equal(one[name], again[name]) for name in one) and any(
        not torch.equal(one[name], other[name]) for name in one
    )


def _seeded(build: Callable[[], nn.Module], seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return build().state_dict()


def _backward_nodes(outputs: torch.Tensor) -> set[str]:
    seen, to_visit = set(), [outputs.grad_fn]
    while to_visit:
        node = to_visit.pop()
        if node is not None and node not in seen:
            seen.add(node)
            to_visit += [next_node for next_node, _ in node.next_functions]
    return {node.name() for node in seen}
