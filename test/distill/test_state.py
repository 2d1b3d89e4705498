# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import nn

from shadowtutor_ros.distill.state import Part, TrainingState
from shadowtutor_ros.model.groups import FULL, PARTIAL
from shadowtutor_ros.model.network import StudentNet
from shadowtutor_ros.snapshot import BadSnapshot

CPU = torch.device('cpu')
RATE = torch.tensor(0.1, dtype=torch.float64)


@pytest.mark.parametrize('channels_last', [False, True])
def test_steps_are_those_of_torchs_adam(channels_last: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = {'kernel': (4, 3, 3, 2), 'bias': (4,), 'scalar': ()}
    part = Part(shapes, CPU, channels_last)
    theirs = {name: nn.Parameter(torch.randn(shape, generator=generator))
              for name, shape in shapes.items()}
    for name, parameter in theirs.items():
        part.tensors[name].copy_(parameter.detach())
    adam = torch.optim.Adam(theirs.values(), lr=0.01)
    rate, live = torch.tensor([0.01, 1.0], dtype=torch.float64)
    for _ in range(5):
        for parameter in theirs.values():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        adam.step()
        part.adam_({name: p.grad for name, p in theirs.items() if p.grad is not None}, rate, live)
    assert float(part.steps) == 5
    for name, parameter in theirs.items():
        torch.testing.assert_close(part.tensors[name], parameter.detach(), rtol=1e-5, atol=1e-7)
    kernel = part.tensors['kernel']
    assert kernel.is_contiguous(
        memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    part.forget()
    assert not any(tensor.any() for tensor in part._all[1:])


@pytest.mark.parametrize('steps', [0, 2])
def test_a_step_that_is_not_wanted_changes_nothing(steps: int) -> None:
    part = Part({'x': (5,)}, CPU, False)
    part.weights.fill_(1.0)
    for _ in range(steps):
        part.adam_({'x': torch.ones(5)}, RATE, torch.ones_like(RATE))
    before = [tensor.clone() for tensor in part._all]
    part.adam_({'x': torch.full((5,), float('nan'))}, RATE, torch.zeros_like(RATE))
    assert all(torch.equal(own, was) for own, was in zip(part._all, before))


def test_a_network_runs_the_weights_of_its_state() -> None:
    network = StudentNet(3)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    state = TrainingState(network, CPU)
    state.give_to(network)
    assert all(torch.equal(p, before[name]) for name, p in network.named_parameters())
    assert list(state.weights(FULL)) == [name for name, _ in network.named_parameters()]
    assert {name.split('.')[0] for name in state.weights(PARTIAL)} == set(StudentNet.BACK)
    state.back.weights.zero_()
    assert not any(p.any() for name, p in network.named_parameters()
                   if name in state.weights(PARTIAL))
    assert network.sb1.long[0].weight.any()


def test_copies_are_apart() -> None:
    own, other = (TrainingState(StudentNet(3), CPU) for _ in range(2))
    other.lessons, other.was_good_enough = 3, True
    own.copy_(other)
    assert all(torch.equal(tensor, other.weights(FULL)[name])
               for name, tensor in own.weights(FULL).items())
    other.front.weights.zero_()
    assert own.front.weights.any()
    assert (own.lessons, own.was_good_enough) == (3, True)


@pytest.mark.parametrize('channels_last', [False, True])
def test_what_is_loaded_comes_back(channels_last: bool) -> None:
    shapes = {'kernel': (4, 3, 3, 2), 'bias': (4,)}
    part, tensors = Part(shapes, CPU, channels_last), {
        name: torch.randn(shape) for name, shape in shapes.items()}
    part.load(tensors)
    part.load({'bias': torch.ones(4), 'other': torch.ones(1)})
    back = part.on_host()
    assert torch.equal(back['kernel'], tensors['kernel'])
    assert torch.equal(back['bias'], torch.ones(4))
    part.weights.zero_()
    assert torch.equal(back['bias'], torch.ones(4))


def test_a_state_is_three_numbers_per_weight() -> None:
    state = TrainingState(StudentNet(9), CPU)
    assert state.nbytes == 3 * 4 * 483_873 + 2 * 8


@pytest.mark.parametrize(('was', 'becomes'), [(False, False), (True, False), (False, True)])
def test_a_state_goes_on_from_its_snapshot_on_any_device(was: bool, becomes: bool) -> None:
    """With ``channels_last`` the numbers lie as on a GPU."""
    def state_of(channels_last: bool) -> TrainingState:
        state = TrainingState(StudentNet(3), CPU)
        for name in ('front', 'back'):
            shapes = {n: tuple(t.shape) for n, t in getattr(state, name).tensors.items()}
            setattr(state, name, Part(shapes, CPU, channels_last))
        return state

    before, after = state_of(was), state_of(becomes)
    for number, part in enumerate((before.front, before.back)):
        for tensor in part._all:
            tensor.copy_(torch.rand(tensor.shape, generator=torch.Generator().manual_seed(number)))
        part.steps.fill_(7 + number)
    before.lessons, before.was_good_enough = 5, True
    kept = before.snapshot()
    before.back.steps.zero_()
    before.back.mean.zero_()
    after.restore(kept)
    again = after.snapshot()
    assert again.keys() == kept.keys()
    assert all((again[name] == kept[name]).all() for name in kept)
    assert (after.lessons, after.was_good_enough) == (5, True)
    assert (float(after.front.steps), float(after.back.steps)) == (7, 8)
    assert torch.equal(after.weights(FULL)['sb5.long.0.weight'],
                       before.weights(FULL)['sb5.long.0.weight'])
    assert after.back.mean.any()


@pytest.mark.parametrize('name', ['weights/out_conv3.bias', 'mean/in_conv1.weight', 'back_steps',
                                  'was_good_enough'])
def test_a_snapshot_that_misses_something_is_refused(name: str) -> None:
    state = TrainingState(StudentNet(3), CPU)
    kept = {key: array for key, array in state.snapshot().items() if key != name}
    with pytest.raises(BadSnapshot, match=f'{name} is missing'):
        state.restore(kept)


def test_other_weights_begin_without_momentum_but_with_the_gradients_scale() -> None:
    state = TrainingState(StudentNet(3), CPU)
    for part in (state.front, state.back):
        part.mean.fill_(1.0)
        part.square.fill_(2.0)
        part.steps.fill_(9.0)
    wanted = {name: tensor + 1 for name, tensor in state.on_host(FULL).items()}
    state.begin_from({name: tensor.half() for name, tensor in wanted.items()})
    for name, tensor in state.weights(FULL).items():
        assert torch.equal(tensor, wanted[name].half().float()), name
    for part in (state.front, state.back):
        assert not part.mean.any()
        assert (part.square == 2).all()
        assert float(part.steps) == 9
