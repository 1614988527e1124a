"""Feature networks: the layers by their names, and a distance that grows with damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from escsr.errors import CheckpointError, ConfigError
from escsr.evaluation.perceptual import load_feature_network, perceptual_distance

_BLOCKS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
_WIDTHS = (4, 6, 8, 10, 12)


def sequential(kind: str) -> nn.Sequential:
    """VGG as torchvision builds it, narrower."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    channels = 3
    for width, count in zip(_WIDTHS, _BLOCKS[kind], strict=True):
        for _ in range(count):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kind", _BLOCKS)
def test_vgg_is_torchvisions(kind: str, suffix: str, tmp_path: Path) -> None:
    model = sequential(kind)
    state = {f"features.{key}": value for key, value in model.state_dict().items()}
    path = tmp_path / f"vgg{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(state, path)
    network = load_feature_network(path)
    assert network.kind == kind
    assert len(network.layers) == sum(_BLOCKS[kind])
    image = torch.rand(2, 3, 40, 48)
    mean, std = (
        torch.tensor(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    expected: list[Tensor] = []
    x = (image - mean) / std
    for layer in model:
        x = layer(x)
        if isinstance(layer, nn.Conv2d):
            expected.append(x)
    features = network(image, dict.fromkeys(network.layers, 1.0))
    for name, wanted in zip(network.layers, expected, strict=True):
        torch.testing.assert_close(features[name], wanted)
    assert set(network(image)) == set(network.usual_layers)
    assert list(network.usual_layers.values()) == [0.1, 0.1, 1, 1, 1]
    with pytest.raises(ConfigError, match="no layer conv9_9; it has conv1_1"):
        network(image, {"conv9_9": 1.0})


def test_squeezenet_knows_what_it_sees(shared: Path) -> None:
    """With the last convolution of the file on top, ImageNet's class of a picture of a dog comes out."""
    from escsr.data.pictures import read_rgb

    path = shared / "data" / "perceptual" / "squeezenet1_0_imagenet_fp16.npz"
    network = load_feature_network(path)
    image = torch.from_numpy(read_rgb(shared / "data" / "examples" / "dog.png")).permute(2, 0, 1).float()
    image = nn.functional.interpolate(image[None] / 255, (227, 227), mode="bilinear", antialias=True)
    features = network(image, {"fire9": 1.0})["fire9"]
    with np.load(path) as file:
        weight, bias = (torch.from_numpy(file[f"conv_final_{part}"]).float() for part in ("w", "b"))
    # Features are divided by 58.
    classes = nn.functional.conv2d(features * 58, weight, bias).relu().mean((2, 3)).softmax(1)
    assert int(classes.argmax()) == 207  # golden retriever
    assert float(classes.max()) > 0.9


def test_the_distance_grows_with_damage(tmp_path: Path) -> None:
    state = {f"features.{key}": value for key, value in sequential("vgg16").state_dict().items()}
    save_file(state, tmp_path / "vgg.safetensors")
    network = load_feature_network(tmp_path / "vgg.safetensors")
    image, noise = torch.rand(3, 48, 48), torch.randn(3, 48, 48)
    distances = [perceptual_distance(network, image + level * noise, image) for level in (0, 0.05, 0.2)]
    assert distances[0] == 0
    assert 0 < distances[1] < distances[2] < 2 * len(network.usual_layers)


@pytest.mark.parametrize(
    ("counts", "normalized"), [((1, 1, 2, 2, 2), False), ((2, 2, 2, 2, 2), False), ((2, 2, 3, 3, 3), True)]
)
def test_other_networks_of_the_family_are_refused(
    counts: tuple[int, ...], normalized: bool, tmp_path: Path
) -> None:
    """VGG11, VGG13 and those with batch norm: some of their layers stand where VGG16's do."""
    layers: list[nn.Module] = []
    channels = 3
    for width, count in zip(_WIDTHS, counts, strict=True):
        for _ in range(count):
            norm = [nn.BatchNorm2d(width)] if normalized else []
            layers += [nn.Conv2d(channels, width, 3, padding=1), *norm, nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    state = {f"features.{key}": value for key, value in nn.Sequential(*layers).state_dict().items()}
    torch.save(state, tmp_path / "vgg.pth")
    with pytest.raises(CheckpointError, match="no perceptual network"):
        load_feature_network(tmp_path / "vgg.pth")


@pytest.mark.parametrize("content", [b"", b"nothing", b"PK\x03\x04"])
@pytest.mark.parametrize("suffix", [".npz", ".pth", ".safetensors"])
def test_other_files_are_refused(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="no perceptual network"):
        load_feature_network(path)
