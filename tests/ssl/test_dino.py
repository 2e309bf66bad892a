from __future__ import annotations

from typing import Any

import pytest
import torch
from lightly.loss import DINOLoss
from torch import Tensor, nn

from bradd.errors import BraddError
from bradd.ssl import DINO
from bradd.ssl.dino import output_size_for
from bradd.views import DINOViews, MoCoV3Views, SimCLRViews
from training import batch, built, progress, resnet, transformer


def dino(backbone: nn.Module, **settings: Any) -> Any:
    small = {"output_size": 10, "hidden_size": 12, "bottleneck_size": 6}
    return built(DINO(**small | settings), backbone)


def cross_entropy(teacher: list[Tensor], student: list[Tensor], center: Tensor, t: float) -> float:
    """Caron et al. 2021, equation 3, term by term."""
    terms = []
    for i, target in enumerate(teacher):
        for j, output in enumerate(student):
            if i != j:
                p = torch.softmax((target - center).double() / t, dim=1)
                q = torch.log_softmax(output.double() / 0.1, dim=1)
                terms.append(-(p * q).sum(1).mean().item())
    return sum(terms) / len(terms)


@pytest.mark.parametrize("make", [resnet, lambda: transformer(dynamic_img_size=True)])
def test_the_loss_is_the_papers_over_global_and_local_views(make: Any) -> None:
    backbone = make()
    method = dino(backbone)
    views = batch() + [view[..., :8, :8] for view in batch(seed=1, views=3)]
    method.cross_entropy.center.normal_()
    center = method.cross_entropy.center.clone()[0]
    loss = method.loss(backbone, views, progress()).item()
    with torch.no_grad():
        # Batch norms see the global views together, and the local ones.
        student = [backbone(torch.cat(views[:2])), backbone(torch.cat(views[2:]))]
        student = list(method.head(torch.cat(student)).chunk(5))
        teacher = method.teacher["head"](method.teacher["backbone"](torch.cat(views[:2])))
    teacher = list(teacher.chunk(2))
    assert loss == pytest.approx(cross_entropy(teacher, student, center, 0.04), rel=1e-4)
    theirs = DINOLoss(10)
    theirs.center.data = center[None]
    assert loss == pytest.approx(theirs(teacher, student, 0.04).item(), rel=1e-5)
    # The centre has moved a tenth of the way to the mean of what the teacher said.
    mean = torch.cat(teacher).mean(0)
    torch.testing.assert_close(method.cross_entropy.center[0, 0], 0.9 * center[0] + 0.1 * mean)


def test_the_teacher_is_copied_from_the_student_and_follows_it() -> None:
    backbone = resnet()
    method = dino(backbone, momentum=0.5)
    pairs = [(method.teacher["backbone"], backbone), (method.teacher["head"], method.head)]
    for teacher, student in pairs:
        assert all(map(torch.equal, teacher.parameters(), student.parameters()))
        assert not any(value.requires_grad for value in teacher.parameters())
    with torch.no_grad():
        method.head.layers[0].weight.add_(1)
    method.after_step(backbone, progress(step=0, steps=10))
    difference = method.head.layers[0].weight - method.teacher["head"].layers[0].weight
    torch.testing.assert_close(difference, torch.full_like(difference, 0.5))


@pytest.mark.parametrize(
    ("steps", "momentum"), [(100, 0.9), (1000, 0.99), (2500, 0.996), (10**5, 0.996)]
)
def test_the_teacher_follows_faster_in_short_runs(steps: int, momentum: float) -> None:
    backbone = resnet()
    method = dino(backbone)
    with torch.no_grad():
        method.head.layers[0].weight.add_(1)
    method.after_step(backbone, progress(step=0, steps=steps))
    difference = method.head.layers[0].weight - method.teacher["head"].layers[0].weight
    torch.testing.assert_close(difference, torch.full_like(difference, momentum))


def test_the_teacher_drops_nothing_out() -> None:
    backbone: Any = transformer(drop_path_rate=0.5, proj_drop_rate=0.5, patch_drop_rate=0.5)
    teacher = dino(backbone).teacher["backbone"].train()
    image = batch(1)[0]
    with torch.no_grad():
        assert torch.equal(teacher(image), teacher(image))
        assert not torch.equal(backbone.train()(image), backbone(image))


def test_the_output_layer_is_frozen_in_the_first_epoch() -> None:
    backbone = resnet()
    method = dino(backbone)
    for epoch, trained in ((0, False), (1, True)):
        now = progress(epoch=epoch)
        method.loss(backbone, batch(), now).backward()
        method.after_backward(now)
        assert (method.head.last_layer.weight_v.grad is not None) is trained
        assert method.head.layers[0].weight.grad is not None


@pytest.mark.parametrize(
    ("epoch", "epochs", "warmup", "expected"),
    [(0, 300, None, 0.04), (30, 300, None, 0.07), (15, 300, None, 0.055), (299, 300, None, 0.07),
     (10, 30, None, 0.07), (0, 300, 0, 0.07), (5, 300, 10, 0.055)],
)  # fmt: skip
def test_the_teachers_temperature_warms_up(
    epoch: int, epochs: int, warmup: int | None, expected: float
) -> None:
    method = DINO(warmup_teacher_epochs=warmup)
    now = progress(epoch=epoch, epochs=epochs)
    assert method.teacher_temperature_at(now) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("images", "size"),
    [(1, 1024), (12_400, 1024), (19_999, 1024), (50_000, 2048), (100_000, 4096),
     (1_281_167, 65536), (10**8, 65536)],
)  # fmt: skip
def test_the_head_is_sized_to_the_images(images: int, size: int) -> None:
    assert output_size_for(images) == size
    method: Any = built(DINO(hidden_size=8, bottleneck_size=4), resnet(), images)
    assert method.head.last_layer.out_features == size


def test_the_head_has_batch_norm_but_for_transformers() -> None:
    def norms(method: Any) -> int:
        return sum(isinstance(part, nn.BatchNorm1d) for part in method.head.modules())

    assert norms(dino(resnet())) == 2
    assert norms(dino(transformer())) == 0
    assert norms(dino(resnet(), batch_norm=False)) == 0
    assert norms(dino(transformer(), batch_norm=True)) == 2


def test_it_takes_global_views_first_and_then_any_local_ones() -> None:
    for views in (DINOViews(), DINOViews(local_count=0), MoCoV3Views(), SimCLRViews()):
        DINO().check_views(views.recipes(224))
    with pytest.raises(BraddError, match="2 global ones"):
        DINO().check_views(SimCLRViews(count=1).recipes(32))
    local_first = DINOViews().recipes(224)[::-1][-3:]
    with pytest.raises(BraddError, match="views of 96, 224, 224 pixels"):
        DINO().check_views(local_first)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"output_size": 1}, "method.output_size"),
        ({"momentum": -0.1}, "method.momentum"),
        ({"center_momentum": 2}, "method.center_momentum"),
        ({"student_temperature": 0}, "method.student_temperature"),
        ({"teacher_temperature": 0}, "method.teacher_temperature"),
        ({"warmup_teacher_epochs": -1}, "method.warmup_teacher_epochs is -1: it must be 0 or more"),
        ({"freeze_last_layer": -1}, "method.freeze_last_layer"),
        ({"hidden_size": 0}, "method.hidden_size"),
    ],
)
def test_an_impossible_setting_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(BraddError, match=says):
        DINO(**settings)


def test_the_loss_is_computed_in_float32_under_autocast() -> None:
    backbone = resnet()
    method = dino(backbone)
    seen: list[Tensor] = []
    method.cross_entropy.register_forward_pre_hook(
        lambda _, inputs: seen.extend([*inputs[0], *inputs[1]])
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = method.loss(backbone, batch(), progress())
    assert loss.dtype == torch.float32
    assert {tensor.dtype for tensor in seen} == {torch.float32}
    assert method.cross_entropy.center.dtype == torch.float32
