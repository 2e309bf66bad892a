from __future__ import annotations

import timm
import torch
from torch import nn

from bradd.ssl.batch_norm import GlobalBatchNorm, synchronise_batch_norm
from training import batch, resnet


def test_every_batch_norm_is_replaced_and_nothing_else_changes() -> None:
    network = nn.Sequential(resnet(), nn.Linear(16, 4), nn.BatchNorm1d(4))
    parameters = dict(network.named_parameters())
    buffers = dict(network.named_buffers())
    image = batch()[0]
    expected = network.eval()(image)
    synchronise_batch_norm(network, torch.device("cpu"))
    kinds = {type(part) for part in network.modules()}
    assert GlobalBatchNorm in kinds
    assert not kinds & {nn.BatchNorm1d, nn.BatchNorm2d}
    # The same objects, so that an optimiser made before still trains them.
    assert all(value is parameters[name] for name, value in network.named_parameters())
    assert all(value is buffers[name] for name, value in network.named_buffers())
    assert torch.equal(network(image), expected)


def test_timms_norms_with_an_activation_keep_it() -> None:
    network = timm.create_model("efficientnet_b0", num_classes=4).eval()
    image = torch.randn(2, 3, 32, 32)
    expected = network(image)
    synchronise_batch_norm(network, torch.device("cpu"))
    assert any(isinstance(part, GlobalBatchNorm) for part in network.modules())
    torch.testing.assert_close(network(image), expected)


def test_in_one_process_it_is_torchs() -> None:
    network = resnet().train()
    theirs = network(batch()[0])
    again = resnet().train()
    synchronise_batch_norm(again, torch.device("cpu"))
    assert torch.equal(again(batch()[0]), theirs)
