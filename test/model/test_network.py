# SPDX-License-Identifier: Apache-2.0
"""The network is the paper's: parameters per part, any size, any number of classes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
import torch.nn.functional as F

from shadowtutor_ros.model.network import FrameNorm, StudentBlock, StudentNet
from shadowtutor_ros.tasks.segmentation.upsample import upsample

PARAMETERS = {
    'in_conv1': 224, 'in_conv2': 584, 'sb1': 29_968, 'sb2': 61_760, 'sb3': 180_864,
    'sb4': 107_008, 'sb5': 47_488, 'sb6': 37_184, 'out_conv1': 9_248, 'out_conv2': 9_248,
    'out_conv3': 297}


def _network(classes: int = 9, seed: int = 0) -> StudentNet:
    torch.manual_seed(seed)
    return StudentNet(classes)


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_every_part_has_the_papers_parameter_count() -> None:
    network = _network()
    assert {name: _count(part) for name, part in network.named_children()} == PARAMETERS
    assert _count(network) == 483_873
    assert tuple(PARAMETERS)[-5:] == StudentNet.BACK


@pytest.mark.parametrize('classes', [1, 2, 9, 21, 256])
def test_only_the_last_layer_depends_on_the_classes(classes: int) -> None:
    network = _network(classes)
    assert _count(network) == 483_873 - 297 + 33 * classes
    with torch.no_grad():
        assert network(torch.randn(1, 3, 16, 24)).shape == (1, classes, 16, 24)


@pytest.mark.parametrize(
    'size', [(1, 1), (1, 40), (2, 2), (7, 5), (32, 32), (33, 65), (31, 64)], ids=str)
def test_any_size_gives_finite_logits_of_that_size(size: tuple[int, int]) -> None:
    with torch.no_grad():
        logits = _network()(100 * torch.randn(1, 3, *size))
    assert logits.shape == (1, 9, *size)
    assert torch.isfinite(logits).all()


def _as_in_the_paper(network: StudentNet, x: torch.Tensor) -> torch.Tensor:
    """Return the logits layer by layer: upsample, out_conv1, out_conv2, upsample, out_conv3."""
    seen: list[torch.Tensor] = []
    hook = network.sb6.register_forward_hook(lambda module, args, out: seen.append(out))
    stem = network.front(x).stem_size
    network(x)
    hook.remove()
    head = network.out_conv2(network.out_conv1(upsample(seen[0], stem)))
    return network.out_conv3(upsample(head, x.shape[-2:]))


@pytest.mark.parametrize(
    'size', [(7, 5), (16, 16), (32, 32), (33, 65), (50, 70), (40, 16)], ids=str)
@pytest.mark.parametrize('classes', [9, 81])
def test_logits_are_those_of_the_papers_layers(size: tuple[int, int], classes: int) -> None:
    network = _network(classes)
    for layer in (network.out_conv1, network.out_conv2, network.out_conv3):
        nn.init.normal_(layer.bias)
    x = 100 * torch.randn(1, 3, *size)
    with torch.no_grad():
        expected = _as_in_the_paper(network, x)
        logits = network(x)
    assert (logits - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_gradients_are_those_of_the_papers_layers() -> None:
    network = _network()
    x = torch.randn(1, 3, 32, 48)
    gradients = []
    for forward in (network, lambda x: _as_in_the_paper(network, x)):
        network.zero_grad()
        forward(x).square().mean().backward()
        gradients.append({name: p.grad.clone() for name, p in network.named_parameters()
                          if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, expected in gradients[1].items():
        error = (gradients[0][name] - expected).abs().max()
        assert error <= 1e-3 * expected.abs().max() + 3e-6, name


def test_forward_is_front_then_back() -> None:
    network, x = _network(), torch.randn(1, 3, 40, 56)
    with torch.no_grad():
        features = network.front(x)
        logits = network.back(features)
        assert logits.shape == (1, 9, 20, 28)
        assert torch.equal(upsample(logits, (40, 56)), network(x))
    assert features.sb4.shape == (1, 64, 2, 2)
    assert features.sb2.shape == (1, 64, 3, 4)
    assert features.sb1.shape == (1, 64, 5, 7)
    assert features.stem_size == (20, 28)


def test_nothing_but_parameters_is_kept() -> None:
    network = _network()
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 6
    assert list(network.buffers()) == []
    assert set(network.state_dict()) == {name for name, _ in network.named_parameters()}


def test_statistics_are_the_current_frames_in_training_and_evaluation_alike() -> None:
    network = _network()
    x, other = torch.randn(1, 3, 24, 24), 1000 + 500 * torch.randn(1, 3, 24, 24)
    with torch.no_grad():
        first = network.train()(x)
        for _ in range(3):
            network(other)
        assert torch.equal(network(x), first)
        assert torch.equal(network.eval()(x), first)


def test_frame_norm_normalises_each_channel_of_the_map() -> None:
    norm, x = FrameNorm(2), torch.tensor([[[[1.0, 3.0]], [[-8.0, 8.0]]]])
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([2.0, 1.0]))
        norm.bias.copy_(torch.tensor([0.5, 0.0]))
        expected = torch.tensor([[[[-1.5, 2.5]], [[-1.0, 1.0]]]])
        torch.testing.assert_close(norm(x), expected, rtol=1e-4, atol=1e-4)


def test_frame_norm_of_a_single_pixel_is_the_bias() -> None:
    norm, x = FrameNorm(3), torch.tensor([5.0, -7.0, 0.0]).view(1, 3, 1, 1)
    nn.init.normal_(norm.bias)
    out = norm(x)
    assert torch.equal(out.flatten(), norm.bias)
    out.sum().backward()
    assert torch.equal(norm.bias.grad, torch.ones(3))


@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('outputs', [4, 6])
def test_shortcut_is_the_raw_input_or_a_1x1_convolution_of_the_normalised(
    outputs: int, stride: int,
) -> None:
    block, x = StudentBlock(4, outputs, stride), torch.randn(1, 4, 9, 6)
    nn.init.zeros_(block.long[-1].weight)
    nn.init.zeros_(block.long[-1].bias)
    with torch.no_grad():
        if outputs == 4:
            assert block.short is None
            assert torch.equal(block(x), x[..., ::stride, ::stride])
        else:
            normal = F.batch_norm(x, None, None, training=True).relu()
            expected = F.conv2d(normal, block.short.weight, block.short.bias, stride)
            torch.testing.assert_close(block(x), expected)


def test_convolutions_start_kaiming_normal_with_zero_bias() -> None:
    for module in _network().modules():
        if isinstance(module, nn.Conv2d):
            assert module.bias is not None
            assert not module.bias.any()
    weight = _network().sb3.long[0].weight
    assert float(weight.detach().std()) == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.03)
