"""Vision transformers (Dosovitskiy et al. 2021), Tiny and Small, by timm; from scratch or pretrained.

Published parameter counts for 224x224 in patches of 16 and 1000 classes: tiny 5,717,416; small 22,050,664. All of
timm's dropout and stochastic depth is off by default, and stays so. Images are enlarged without a gradient, and torch's
fused attention keeps to deterministic algorithms when asked to, so the backward pass is deterministic on GPUs too.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import LocalEntryNotFoundError
from timm.models import adapt_input_conv, load_state_dict
from timm.models import vision_transformer as timm_vit
from torch import nn

from memflow.errors import InputError
from memflow.files import sha256
from memflow.models.arguments import choose

SIZES = {"tiny": timm_vit.vit_tiny_patch16_224, "small": timm_vit.vit_small_patch16_224}
HUB = {size: f"timm/{network.__name__}.augreg_in21k_ft_in1k" for size, network in SIZES.items()}
FORMATS = (".safetensors", ".bin", ".pth", ".pt")
HEAD = ("head.weight", "head.bias")


class ViT(nn.Module):
    """``[batch, channels, height, width] -> logits [batch, classes]``, the images enlarged to ``size`` first."""

    def __init__(self, transformer: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.transformer, self.size = transformer, size

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.shape[2:] != self.size:
            images = F.interpolate(images, self.size, mode="bilinear", align_corners=False, antialias=False)
        return self.transformer(images)


def build(
    image_shape: tuple[int, int, int],
    n_classes: int,
    *,
    size: str,
    patch_size: int = 16,
    image_size: int | None = None,
    pretrained: str | None = None,
    pretrained_sha256: str | None = None,
) -> ViT:
    """A vision transformer ``[batch, channels, height, width] -> logits [batch, classes]``.

    Pretrained weights are fitted to these images as timm does: position embeddings and patches are resampled (bicubic)
    if ``image_size`` or ``patch_size`` differ from the file's, its three colours are summed for grey images, and its
    last layer is replaced by a new, random one if its number of classes differs.

    The images arrive normalised by the mean and deviation of their own dataset, and stay so, though timm's weights were
    trained on images scaled to [-1, 1]. The two differ by one linear map per channel, which the first layer, linear
    with a bias, can represent exactly: what can be learned is the same, while training starts from images of about
    twice the contrast that the weights know. They were trained on ImageNet: for images drawn from it, such as
    Tiny-ImageNet, no example is truly held out.

    Parameters
    ----------
    image_shape : tuple of int
        Channels, height and width of the images.
    n_classes : int
    size : {"tiny", "small"}
    patch_size : int
        Side of the square patches; must divide the (enlarged) image.
    image_size : int, optional
        Side of the square to which images are enlarged inside the network (bilinear). Default: not enlarged.
    pretrained : str, optional
        ``"timm"``: weights trained on ImageNet-21k, then ImageNet-1k, from the local cache of the Hugging Face hub or
        downloaded into it. Otherwise the path of a file with the state_dict of timm's network of this size
        (.safetensors, .bin, .pth or .pt). Default: from scratch.
    pretrained_sha256 : str, optional
        What the file must be.

    Raises
    ------
    ValueError
        If there is no such size, images would shrink, or the patches do not divide them.
    InputError
        If the pretrained weights cannot be had, cannot be read, or are not of this network.
    """
    channels, *own = image_shape
    target = (own[0], own[1]) if image_size is None else (image_size, image_size)
    network = choose(SIZES, size, "size")
    if target[0] < own[0] or target[1] < own[1]:
        raise ValueError(f"image_size is {image_size}, but images are {own[0]}x{own[1]}, and can only be enlarged")
    if patch_size < 1 or target[0] % patch_size or target[1] % patch_size:
        raise ValueError(f"patch_size is {patch_size}, which does not divide images of {target[0]}x{target[1]}")
    transformer = network(img_size=target, patch_size=patch_size, in_chans=channels, num_classes=n_classes)
    if pretrained is not None:
        file = weights_file(size, pretrained)
        if pretrained_sha256 not in (None, digest := sha256(file)):
            raise InputError(f"{file} has sha256 {digest}, but pretrained_sha256 is {pretrained_sha256}")
        _load(transformer, file)
    return ViT(transformer, target)


def weights_file(size: str, pretrained: str) -> Path:
    """The file of pretrained weights that :func:`build` reads, downloaded if need be.

    Parameters
    ----------
    size, pretrained : str
        As for :func:`build`.

    Raises
    ------
    ValueError
        If there is no such size.
    InputError
        If there is no such file, or it is neither in the cache nor can be downloaded.
    """
    repository = choose(HUB, size, "size")
    if pretrained == "timm":
        return _from_hub(repository)
    file = Path(pretrained).expanduser()
    if not file.is_file():
        raise InputError(
            f"there is no file {file} of pretrained weights; give the path of one with the weights of a ViT of size "
            f"{size} as timm writes them, or 'timm' for those of {repository} on the Hugging Face hub"
        )
    if file.suffix not in FORMATS:
        raise InputError(f"pretrained weights {file} must be a file of a state_dict, named *{', *'.join(FORMATS)}")
    return file


def _from_hub(repository: str) -> Path:
    try:  # the cache first: a node without internet would try to connect for half a minute, for every network
        return Path(hf_hub_download(repository, "model.safetensors", local_files_only=True))
    except LocalEntryNotFoundError:
        pass
    try:
        return Path(hf_hub_download(repository, "model.safetensors"))
    except Exception as error:  # of the hub, of the network, of the disk: each has its own classes
        raise InputError(
            f"model.safetensors of {repository} is not in the cache of the Hugging Face hub, {constants.HF_HUB_CACHE}, "
            f"and could not be downloaded ({_brief(error)}). On a machine with internet, run `hf download {repository} "
            "model.safetensors`, and give the path of the file that it prints, or of a copy, instead of 'timm'; or let "
            "HF_HOME name a folder whose cache has it"
        ) from error


def _load(transformer: timm_vit.VisionTransformer, file: Path) -> None:
    """Put the weights of a file into a network, fitted to its images; its head stays if the file's does not fit."""
    own = transformer.state_dict()
    try:
        state = timm_vit.checkpoint_filter_fn(load_state_dict(str(file), weights_only=True), transformer)
        stem = "patch_embed.proj.weight"
        state[stem] = adapt_input_conv(own[stem].shape[1], state[stem])
        if state["head.weight"].shape != own["head.weight"].shape:
            state |= {key: own[key] for key in HEAD}
        transformer.load_state_dict(state)
    except Exception as error:  # truncated, of another format, of another network: each fails in its own way
        raise InputError(
            f"{file} does not hold the weights of a ViT of this size as timm writes them, or not all of them: "
            f"{_brief(error)}"
        ) from error


def _brief(error: Exception) -> str:
    """The class and the beginning of a message, which for foreign weights lists all their names."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}{' ...' if len(text) > 300 else ''}"
