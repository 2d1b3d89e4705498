# SPDX-License-Identifier: Apache-2.0
"""The folded end of the network equals its layers, at every border and in its gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn, Tensor
import torch.nn.functional as F

from shadowtutor_ros.model import head
from shadowtutor_ros.model.head import folded_head, folds, last_layers

SIZES = [(2, 2), (2, 5), (5, 2), (3, 3), (3, 4), (6, 9)]


def _layers(classes: int, channels: int = 6) -> tuple[nn.Conv2d, nn.Conv2d, nn.Conv2d]:
    torch.manual_seed(classes)
    layers = (nn.Conv2d(channels, 4, 3, padding=1), nn.Conv2d(4, 5, 3, padding=1),
              nn.Conv2d(5, classes, 1))
    for layer in layers:
        nn.init.normal_(layer.bias)
    return layers


def _plain(x: Tensor, layers: tuple[nn.Conv2d, nn.Conv2d, nn.Conv2d]) -> Tensor:
    x = F.interpolate(x, scale_factor=4, mode='bilinear', align_corners=False)
    return layers[2](layers[1](layers[0](x)))


@pytest.mark.parametrize('classes', [1, 3, 40])
@pytest.mark.parametrize('size', SIZES, ids=str)
def test_folded_equals_layer_by_layer(size: tuple[int, int], classes: int) -> None:
    layers = _layers(classes)
    x = torch.randn(2, 6, *size)
    with torch.no_grad():
        torch.testing.assert_close(
            folded_head(x, *layers), _plain(x, layers), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('size', SIZES, ids=str)
def test_gradients_equal_layer_by_layer(size: tuple[int, int]) -> None:
    layers = tuple(layer.double() for layer in _layers(3))
    x = torch.randn(1, 6, *size, dtype=torch.float64, requires_grad=True)
    wanted = torch.randn(1, 3, 4 * size[0], 4 * size[1], dtype=torch.float64)
    inputs = [x, *(p for layer in layers for p in layer.parameters())]
    plain = torch.autograd.grad((_plain(x, layers) * wanted).sum(), inputs)
    folded = torch.autograd.grad((folded_head(x, *layers) * wanted).sum(), inputs)
    for got, expected in zip(folded, plain, strict=True):
        torch.testing.assert_close(got, expected)


def test_a_fold_made_for_inference_serves_training_too() -> None:
    layers, x = _layers(2), torch.randn(1, 6, 3, 3)
    head._axis.cache_clear()  # as in a process that has folded nothing yet
    with torch.inference_mode():
        folded_head(x, *layers)
    folded_head(x, *layers).sum().backward()
    assert layers[0].weight.grad is not None


@pytest.mark.parametrize('classes', [3, 60])
def test_the_last_two_layers_are_one(classes: int) -> None:
    _, conv2, conv3 = _layers(classes)
    x = torch.randn(1, 4, 5, 7)
    with torch.no_grad():
        torch.testing.assert_close(last_layers(x, conv2, conv3), conv3(conv2(x)))


@pytest.mark.parametrize('fold', [
    lambda layers: folded_head(torch.ones(1, 6, 3, 3), *layers),
    lambda layers: last_layers(torch.ones(1, 4, 3, 3), *layers[1:])], ids=['head', 'last'])
def test_weights_are_folded_in_full_precision(
    monkeypatch: pytest.MonkeyPatch, fold: Callable[[tuple[nn.Conv2d, ...]], Tensor],
) -> None:
    seen = []
    conv2d = F.conv2d

    def watch(x: Tensor, weight: Tensor, *args: object, **more: object) -> Tensor:
        seen.append(weight.dtype)
        return conv2d(x, weight, *args, **more)

    monkeypatch.setattr(F, 'conv2d', watch)
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        assert fold(_layers(3)).dtype == torch.bfloat16
    assert set(seen) == {torch.float32}


@pytest.mark.parametrize(('size', 'stem', 'expected'), [
    ((90, 160), (360, 640), True), ((2, 2), (8, 8), True),
    ((1, 5), (4, 20), False),  # its first row is its last
    ((60, 107), (240, 427), False), ((61, 80), (243, 320), False)])
def test_only_exact_upsampling_by_four_folds(
    size: tuple[int, int], stem: tuple[int, int], expected: bool,
) -> None:
    assert folds(torch.Size((1, 32, *size)), stem, 9) is expected
    assert not folds(torch.Size((1, 32, *size)), stem, 81)
