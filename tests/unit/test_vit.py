import hashlib
import shutil
from functools import partial

import huggingface_hub
import pytest
import timm
import torch
import torch.nn.functional as F
from network_helpers import check_training, count_parameters, same_for_the_same_seed
from timm.models import save_for_hf
from torch import nn
from torchvision.models import resnet18

from memflow.errors import InputError
from memflow.models.vit import HUB, build

NAME = "vit_tiny_patch16_224"
FILES = ("model.safetensors", "pytorch_model.bin")
HEAD = {"head.weight", "head.bias"}


@pytest.fixture(scope="module")
def original():
    torch.manual_seed(1)
    return timm.create_model(NAME).eval()


@pytest.fixture(scope="module")
def folder(original, tmp_path_factory):
    """The network as timm itself writes it."""
    folder = tmp_path_factory.mktemp("weights")
    save_for_hf(original, folder, safe_serialization="both")
    return folder


def tiny(shape=(3, 32, 32), n_classes=10, **arguments):
    return build(shape, n_classes, **({"size": "tiny"} | arguments))


def differing(network, expected):
    state = network.transformer.state_dict()
    assert state.keys() == expected.keys()
    return {name for name in state if not torch.equal(state[name], expected[name])}


@pytest.mark.parametrize(("size", "parameters"), [("tiny", 5_717_416), ("small", 22_050_664)])
def test_the_parameter_counts_are_the_published_ones(size, parameters):
    assert count_parameters(lambda: build((3, 224, 224), 1000, size=size)) == parameters


@pytest.mark.parametrize(
    ("shape", "arguments"),
    [
        ((3, 32, 32), {"size": "tiny", "patch_size": 4}),
        ((3, 32, 32), {"size": "small", "patch_size": 4}),
        ((3, 64, 64), {"size": "tiny", "patch_size": 8}),
        ((1, 28, 28), {"size": "tiny", "image_size": 48}),
        ((3, 32, 64), {"size": "tiny"}),
    ],
)
def test_it_trains(shape, arguments):
    check_training(build(shape, 10, **arguments), shape, 10)


def test_nothing_is_drawn_in_training():
    assert {layer.p for layer in tiny().modules() if isinstance(layer, nn.Dropout)} == {0.0}
    assert not [layer for layer in tiny().modules() if type(layer).__name__ == "DropPath"]


def test_images_are_enlarged_bilinearly():
    network = tiny(image_size=64).eval()
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(network(images), network.transformer(F.interpolate(images, (64, 64), mode="bilinear")))


def test_images_of_the_right_size_stay_as_they_are():
    network, images = tiny().eval(), torch.randn(2, 3, 32, 32)
    assert torch.equal(network(images), network.transformer(images))


def test_the_same_seed_gives_the_same_weights():
    assert same_for_the_same_seed(partial(tiny, (1, 32, 32), patch_size=4))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": "base"}, "size is 'base'; it must be one of 'tiny', 'small'"),
        ({"patch_size": 5}, "patch_size is 5, which does not divide images of 32x32"),
        ({"patch_size": 0}, "patch_size is 0"),
        ({"patch_size": 16, "image_size": 40}, "patch_size is 16, which does not divide images of 40x40"),
        ({"image_size": 16}, "image_size is 16, but images are 32x32, and can only be enlarged"),
        ({"image_size": 0}, "image_size is 0, but images are 32x32"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny(**arguments)


@pytest.mark.parametrize("file", FILES)
def test_pretrained_weights_are_those_of_the_file(original, folder, file):
    network = tiny((3, 224, 224), 1000, pretrained=str(folder / file)).eval()
    assert differing(network, original.state_dict()) == set()
    images = torch.randn(1, 3, 224, 224)
    assert torch.equal(network(images), original(images))


def test_with_other_classes_the_head_is_new_and_follows_the_seed(original, folder):
    torch.manual_seed(2)
    scratch = tiny(image_size=224)
    torch.manual_seed(2)
    network = tiny(image_size=224, pretrained=str(folder / FILES[0]))
    expected = original.state_dict() | {name: scratch.transformer.state_dict()[name] for name in HEAD}
    assert differing(network, expected) == set()


@pytest.mark.parametrize(
    ("shape", "arguments"),
    [
        ((3, 32, 32), {"image_size": 64}),
        ((3, 32, 32), {"patch_size": 4}),
        ((1, 28, 28), {"image_size": 64, "patch_size": 8}),
    ],
)
def test_pretrained_weights_are_fitted_to_the_images_as_timm_does(folder, shape, arguments):
    network = tiny(shape, pretrained=str(folder / FILES[0]), **arguments)
    expected = timm.create_model(
        NAME,
        pretrained=True,
        pretrained_cfg_overlay={"file": str(folder / FILES[0])},
        num_classes=10,
        in_chans=shape[0],
        img_size=network.size,
        patch_size=arguments.get("patch_size", 16),
    )
    assert differing(network, expected.state_dict()) == {"head.weight"}


def test_a_pretrained_network_trains(folder):
    network = tiny(patch_size=8, image_size=64, pretrained=str(folder / FILES[0]))
    check_training(network, (3, 32, 32), 10)


def test_a_file_with_the_right_sha256_is_used_and_any_other_is_refused(original, folder):
    file = folder / FILES[0]
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    arguments = {"pretrained": str(file), "pretrained_sha256": digest}
    assert differing(tiny((3, 224, 224), 1000, **arguments), original.state_dict()) == set()
    with pytest.raises(InputError, match=f"{FILES[0]} has sha256 {digest}, but pretrained_sha256 is {'0' * 64}"):
        tiny(**arguments | {"pretrained_sha256": "0" * 64})


def write_truncated(folder, target):
    content = (folder / target.name).read_bytes()
    target.write_bytes(content[: len(content) // 2])


def write_foreign(_folder, target):
    torch.save(resnet18(num_classes=10).state_dict(), target)


def write_incomplete(folder, target):
    state = torch.load(folder / FILES[1], weights_only=True)
    del state["blocks.3.mlp.fc1.bias"]
    torch.save(state, target)


def write_text(_folder, target):
    target.write_text("not weights")


@pytest.mark.parametrize(
    ("write", "name", "reason"),
    [
        (write_truncated, FILES[0], "SafetensorError"),
        (write_truncated, FILES[1], "RuntimeError"),
        (write_foreign, "resnet.pth", "patch_embed.proj.weight"),
        (write_incomplete, "vit.pth", "blocks.3.mlp.fc1.bias"),
        (write_text, "vit.pt", "Error"),
        (write_text, "vit.safetensors", "SafetensorError"),
    ],
)
def test_a_file_without_the_weights_is_refused(folder, tmp_path, write, name, reason):
    file = tmp_path / name
    write(folder, file)
    with pytest.raises(InputError, match=f"{name} does not hold the weights of a ViT of this size .*{reason}"):
        tiny(pretrained=str(file))


def test_the_weights_of_another_size_are_refused(folder):
    with pytest.raises(InputError, match=r"does not hold the weights of a ViT of this size .*size mismatch"):
        build((3, 32, 32), 10, size="small", pretrained=str(folder / FILES[0]))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"there is no file .*none\.pth .* or 'timm' for those of timm/vit_tiny"):
        tiny(pretrained=str(tmp_path / "none.pth"))


def test_a_file_of_another_format_is_refused(tmp_path):
    (tmp_path / "weights.npz").write_bytes(b"")
    with pytest.raises(InputError, match=r"weights\.npz must be .* \*\.safetensors, \*\.bin, \*\.pth, \*\.pt"):
        tiny(pretrained=str(tmp_path / "weights.npz"))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub, on a machine without internet."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def test_without_internet_the_weights_come_from_the_cache_of_the_hub(original, folder, cache):
    repository = cache / f"models--{HUB['tiny'].replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "snapshots" / ("0" * 40)).mkdir(parents=True)
    shutil.copy(folder / FILES[0], repository / "snapshots" / ("0" * 40))
    network = tiny((3, 224, 224), 1000, pretrained="timm")
    assert differing(network, original.state_dict()) == set()


def test_weights_that_cannot_be_downloaded_are_asked_for(cache):
    with pytest.raises(InputError) as error:
        tiny(pretrained="timm")
    for part in (HUB["tiny"], str(cache), "model.safetensors", "hf download", "HF_HOME"):
        assert part in str(error.value)
