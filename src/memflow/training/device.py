"""The device a worker trains on, made deterministic, and the conditions that decide its bits."""

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from memflow.errors import InputError


class PrecisionError(InputError):
    """The hardware cannot do the precision that the recipe asks for."""


def prepare_device(precision: str) -> torch.device:
    """The GPU if there is one, otherwise the CPU, set to deterministic arithmetic.

    Parameters
    ----------
    precision : {"fp32", "bf16"}

    Raises
    ------
    PrecisionError
        If the device has no bfloat16 arithmetic and the recipe asks for it.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cuda":  # on a CPU one thread is deterministic as it is, and the switch imports 2 s of compiler
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS is not deterministic
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a debugging aid that costs 13 % of a step
        torch.backends.cudnn.benchmark = False
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
    if precision == "bf16" and not _has_bf16(device):
        raise PrecisionError(
            f"recipe.precision is bf16, but this {device.type} ({device_name(device)}) has no bfloat16 arithmetic; "
            "set `precision: fp32` in the recipe, or run on hardware that has it"
        )
    return device


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Context in which matrix products run in the recipe's precision; sums and normalisation stay in fp32."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()


def device_name(device: torch.device) -> str:
    """What decides the bits of arithmetic on this device: the GPU's model, or the CPU's vector instructions."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    amx = " AMX" if torch.cpu._is_amx_tile_supported() else ""
    return f"{torch.backends.cpu.get_cpu_capability()}{amx}"


def bit_conditions(precision: str) -> dict[str, Any]:
    """What besides the definition decides the bits of a run (design: two runs agree bit for bit if these agree)."""
    device = prepare_device(precision)
    return {
        "torch": torch.__version__,
        "device": device.type,
        "device_name": device_name(device),
        "precision": precision,
        "threads": torch.get_num_threads(),
    }


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()
