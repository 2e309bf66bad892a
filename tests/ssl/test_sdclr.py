from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from bradd.errors import BraddError
from bradd.ssl import SDCLR
from bradd.ssl.method import TrainingFacts
from bradd.ssl.nt_xent import nt_xent
from training import WIDTH, batch, built, progress, resnet, transformer


def convolutions(backbone: nn.Module) -> list[nn.Conv2d]:
    return [part for part in backbone.modules() if isinstance(part, nn.Conv2d)]


def norms(network: nn.Module) -> list[nn.Module]:
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d)
    return [part for part in network.modules() if isinstance(part, kinds)]


def sdclr(backbone: nn.Module, **settings: Any) -> Any:
    method: Any = built(SDCLR(projection_size=6, **settings), backbone)
    # Telling the branches' batch norms apart.
    for scale, norm in enumerate(method.pruned_norms, 2):
        nn.init.constant_(norm.weight, scale)
    method.start_epoch(backbone, progress())
    return method


def pruned_network(method: Any, backbone: nn.Module, share: float) -> nn.Module:
    """The pruned branch, built the long way: a copy with zeros in it, and the other norms."""
    network = copy.deepcopy(nn.Sequential(backbone, method.projector))
    weights = torch.cat([part.weight.detach().flatten() for part in convolutions(network)])
    smallest = sorted(weights.abs().tolist())[: int(share * len(weights))]
    for part in convolutions(network):
        part.weight.data[part.weight.abs() <= smallest[-1]] = 0
    for mine, theirs in zip(norms(network), method.pruned_norms, strict=True):
        mine.load_state_dict(theirs.state_dict())
    return network


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_the_loss_lies_between_the_network_and_its_pruned_self(share: float) -> None:
    backbone = resnet()
    method = sdclr(backbone, pruned=share, temperature=0.2)
    first, second = batch()
    dense = copy.deepcopy(nn.Sequential(backbone, method.projector))(first)
    pruned = pruned_network(method, backbone, share)(second)
    expected = nt_xent(dense, pruned, 0.2).item()
    assert method.loss(backbone, [first, second], progress()).item() == pytest.approx(
        expected, rel=1e-5
    )
    assert expected != pytest.approx(nt_xent(dense, dense, 0.2).item(), rel=1e-3)


def test_the_gradient_is_that_of_one_loss_a_branch_with_the_other_detached() -> None:
    backbone = resnet()
    method = sdclr(backbone, pruned=0.5)
    first, second = batch()
    parameters = [*backbone.parameters(), *method.parameters()]
    mine = torch.autograd.grad(method.loss(backbone, [first, second], progress()), parameters)

    network = nn.Sequential(backbone, method.projector)
    dense = network(first)
    pruned = torch.func.functional_call(network, method._pruned_state(network), second)
    total = nt_xent(dense, pruned.detach(), 0.3) + nt_xent(dense.detach(), pruned, 0.3)
    for found, expected in zip(mine, torch.autograd.grad(total, parameters), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)


def test_the_smallest_weights_over_all_convolutions_are_pruned() -> None:
    backbone = resnet()
    method = sdclr(backbone, pruned=0.9)
    weights = torch.cat([part.weight.detach().abs().flatten() for part in convolutions(backbone)])
    assert len(method.kept) == len(weights)
    assert (~method.kept).sum() == int(0.9 * len(weights))
    assert weights[method.kept].min() > weights[~method.kept].max()
    shares = [
        mask.float().mean() for mask in method.kept.split([p.weight.numel() for p in
                                                           convolutions(backbone)])
    ]  # fmt: skip
    assert max(shares) - min(shares) > 0.05  # one threshold for all, not one a layer


def test_the_mask_is_drawn_anew_each_epoch() -> None:
    backbone = resnet()
    method = sdclr(backbone, pruned=0.5)
    before = method.kept.clone()
    largest = max(convolutions(backbone), key=lambda part: part.weight.numel())
    with torch.no_grad():
        largest.weight.mul_(100)
    assert torch.equal(method.kept, before)
    method.start_epoch(backbone, progress(epoch=1))
    assert not torch.equal(method.kept, before)
    assert method.kept.float().mean() == pytest.approx(0.5, abs=1e-3)


def test_pruned_weights_learn_from_the_dense_branch_only() -> None:
    backbone = resnet()
    method = sdclr(backbone, pruned=0.9)
    first, second = batch()
    network = nn.Sequential(backbone, method.projector)
    dense = network(first).detach()
    pruned = torch.func.functional_call(network, method._pruned_state(network), second)
    weights = [part.weight for part in convolutions(backbone)]
    gradients = torch.autograd.grad(nt_xent(dense, pruned, 0.3), weights)
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    assert flat[~method.kept].abs().max() == 0
    assert flat[method.kept].abs().max() > 0


def test_each_branch_tracks_statistics_of_its_own() -> None:
    backbone = resnet()
    method = sdclr(backbone, pruned=0.9)
    first, second = batch()[0], batch(seed=3)[1] * 3
    method.loss(backbone, [first, second], progress())
    network = nn.Sequential(backbone, method.projector)
    for dense, pruned in zip(norms(network), method.pruned_norms, strict=True):
        assert dense.num_batches_tracked == pruned.num_batches_tracked == 1
        assert not torch.allclose(dense.running_var, pruned.running_var)


@pytest.mark.parametrize(("size", "share"), [(32, 0.9), (64, 0.9), (65, 0.3), (224, 0.3)])
def test_as_published_small_images_are_pruned_more(size: int, share: float) -> None:
    method: Any = SDCLR()
    backbone = resnet()
    method.build(backbone, TrainingFacts(WIDTH, size, 100))
    method.start_epoch(backbone, progress())
    assert 1 - method.kept.float().mean() == pytest.approx(share, abs=1e-3)


def test_a_backbone_without_convolutions_and_batch_norms_is_refused() -> None:
    with pytest.raises(BraddError, match="resnet50"):
        built(SDCLR(), transformer())


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"temperature": 0}, "method.temperature"),
        ({"pruned": 1.0}, "method.pruned is 1.0: it must be 0 to below 1"),
        ({"pruned": -0.1}, "method.pruned"),
        ({"projection_size": 0}, "method.projection_size"),
    ],
)
def test_an_impossible_setting_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(BraddError, match=says):
        SDCLR(**settings)
