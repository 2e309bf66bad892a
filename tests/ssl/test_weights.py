from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bradd.errors import BraddError
from bradd.ssl.backbone import Backbone, create_backbone, load_weights, save_backbone

NARROW = {"channels": [8, 8, 8, 16]}
SHALLOW = {"depth": 2}
PLANS = {
    "resnet18": Backbone.choose("resnet18", 224, NARROW),
    "vit_tiny_patch16_224": Backbone.choose("vit_tiny_patch16_224", 32, SHALLOW),
    "convnext_atto": Backbone.choose("convnext_atto", 64, {"depths": [1, 1, 1, 1]}),
}

State = dict[str, Tensor]


def random_state(model: nn.Module, seed: int = 1) -> State:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(value.shape, generator=generator)
        if value.is_floating_point()
        else torch.full_like(value, 7)
        for name, value in model.state_dict().items()
    }


def published(plan: Backbone, seed: int = 1) -> State:
    """Weights as timm names them, with a classifier."""
    return random_state(timm.create_model(plan.name, num_classes=10, **plan.kwargs), seed)


def under(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


def holds(model: nn.Module, state: State) -> bool:
    return all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def heads() -> State:
    return {f"{layer}.{part}": torch.rand(3) for layer in (0, 3) for part in ("weight", "bias")}


def dino(state: State) -> dict[str, Any]:
    """As main_dino.py writes it: the student wrapped for several processes, the teacher not."""
    student = {name: value + 1 for name, value in state.items()}
    head = under("head.mlp.", heads()) | {"head.last_layer.weight_v": torch.rand(3, 3)}
    return {
        "student": under("module.", under("backbone.", student) | head),
        "teacher": under("backbone.", state) | head,
        "optimizer": {
            "state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.rand(3)}},
            "param_groups": [{"lr": 0.1, "params": [0]}],
        },
        "epoch": 100,
        "args": argparse.Namespace(arch="vit_small", lr=0.0005),
        "dino_loss": {"center": torch.zeros(1, 8)},
    }


def moco_v3(state: State) -> dict[str, Any]:
    """As main_moco.py writes it: projectors stand in the classifier's place."""
    classifier = "head." if "cls_token" in state else "fc."
    backbone = {name: v for name, v in state.items() if not name.startswith(classifier)}
    momentum = {name: value + 1 for name, value in backbone.items()}
    return {
        "epoch": 300,
        "arch": "vit_small",
        "state_dict": {
            **under("module.base_encoder.", backbone | under(classifier, heads())),
            **under("module.momentum_encoder.", momentum | under(classifier, heads())),
            **under("module.predictor.", heads()),
        },
        "optimizer": {"state": {}, "param_groups": []},
        "scaler": {"scale": 65536.0},
    }


FORMS: dict[str, Any] = {
    "plain": lambda state: state,
    "module": lambda state: under("module.", state),
    "compiled": lambda state: under("_orig_mod.module.", state),
    "backbone and heads": lambda state: (
        under("backbone.", state) | under("projection_head.", heads())
    ),
    "model": lambda state: {"model": state, "epoch": 3},
    "state_dict": lambda state: {"state_dict": under("model.", state), "arch": "x"},
    "moving average": lambda state: {
        "state_dict": {name: value + 1 for name, value in state.items()},
        "state_dict_ema": state,
    },
    "DINO": dino,
    "MoCo v3": moco_v3,
    "MoCo": lambda state: {
        "state_dict": under("module.encoder_q.", state)
        | under("module.encoder_k.", {name: value + 1 for name, value in state.items()})
        | {"module.queue": torch.rand(3, 3)}
    },
}


# MoCo v3 has no ConvNeXt.
FOUND = [
    (name, form) for name in PLANS for form in FORMS if (name, form) != ("convnext_atto", "MoCo v3")
]


@pytest.mark.parametrize(("name", "form"), FOUND)
def test_weights_are_found_wherever_they_lie_in_a_torch_file(
    name: str, form: str, tmp_path: Path
) -> None:
    plan = PLANS[name]
    state = published(plan)
    torch.save(FORMS[form](state), tmp_path / "weights.pth")
    model = create_backbone(plan)
    load_weights(model, plan, tmp_path / "weights.pth")
    assert holds(model, state)


@pytest.mark.parametrize("form", ["plain", "module", "backbone and heads"])
@pytest.mark.parametrize("name", PLANS)
def test_weights_are_found_in_a_safetensors_file(name: str, form: str, tmp_path: Path) -> None:
    plan = PLANS[name]
    state = published(plan)
    save_file(FORMS[form](state), tmp_path / "weights.safetensors")
    model = create_backbone(plan)
    load_weights(model, plan, str(tmp_path / "weights.safetensors"))
    assert holds(model, state)


def test_a_backbone_of_ours_is_a_starting_point(tmp_path: Path) -> None:
    plan = Backbone.choose("resnet18", 32, NARROW)
    trained, model = create_backbone(plan), create_backbone(plan)
    trained.load_state_dict(random_state(trained))
    save_backbone(trained, plan, tmp_path / "backbone.safetensors", {"seed": 1})
    load_weights(model, plan, tmp_path / "backbone.safetensors")
    assert holds(model, trained.state_dict())


def test_a_classifier_left_out_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plan = PLANS["resnet18"]
    torch.save(published(plan), tmp_path / "weights.pth")
    with caplog.at_level(logging.INFO, logger="bradd"):
        load_weights(create_backbone(plan), plan, tmp_path / "weights.pth")
    assert "left out the classifier, fc.weight, fc.bias" in caplog.text


def test_position_embeddings_and_patches_are_resampled_as_by_timm(tmp_path: Path) -> None:
    """The embedding of a large image's weights stays nearly the same for a smaller one."""
    large = {"img_size": 64, "patch_size": 16, **SHALLOW}
    state = published(Backbone("vit_tiny_patch16_224", 64, large))
    torch.save(dino(state), tmp_path / "weights.pth")
    plan = Backbone.choose("vit_tiny_patch16_224", 32, SHALLOW)  # 8 x 8 patches of 4 pixels
    model = create_backbone(plan)
    load_weights(model, plan, tmp_path / "weights.pth")

    torch.save(state, tmp_path / "plain.pth")
    arguments = {"num_classes": 10, **plan.kwargs}
    by_timm = timm.create_model(
        plan.name,
        pretrained=True,
        pretrained_cfg_overlay={
            "file": str(tmp_path / "plain.pth"),
            "num_classes": 10,
            "custom_load": False,
        },
        **arguments,
    )
    assert model.state_dict()["pos_embed"].shape == (1, 65, 192)
    assert model.state_dict()["patch_embed.proj.weight"].shape == (192, 3, 4, 4)
    assert holds(model, by_timm.state_dict())


def changed(state: State, change: str) -> dict[str, Any]:
    if change == "missing":
        del state["layer1.0.conv1.weight"]
    elif change == "unexpected":
        state["layer1.7.conv1.weight"] = torch.rand(3)
    elif change == "shape":
        state["layer1.0.conv1.weight"] = torch.rand(8, 8, 1, 1)
    elif change == "deeper":
        return random_state(timm.create_model("resnet34", num_classes=10, **NARROW))
    return state


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("missing", r"missing layer1\.0\.conv1\.weight; unexpected nothing; of another shape noth"),
        ("unexpected", r"missing nothing; unexpected layer1\.7\.conv1\.weight;"),
        ("shape", r"shape layer1\.0\.conv1\.weight \[8, 8, 1, 1\] instead of \[8, 64, 3, 3\]"),
        ("deeper", r"unexpected layer1\.2\.conv1\.weight, .* and \d+ more"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_loaded(
    change: str, says: str, tmp_path: Path
) -> None:
    plan = PLANS["resnet18"]
    torch.save(under("module.", changed(published(plan), change)), tmp_path / "weights.pth")
    model = create_backbone(plan)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(BraddError, match=says) as caught:
        load_weights(model, plan, tmp_path / "weights.pth")
    assert "weights.pth are not those of resnet18, channels=[8, 8, 8, 16]" in str(caught.value)
    assert "backbone_kwargs" in str(caught.value)
    assert holds(model, before)


def test_weights_of_a_stem_for_large_images_are_refused_with_the_reason(tmp_path: Path) -> None:
    torch.save(published(PLANS["resnet18"]), tmp_path / "weights.pth")
    plan = Backbone.choose("resnet18", 32, NARROW)
    for source in (tmp_path / "weights.pth", "timm"):
        with pytest.raises(BraddError, match=r"stem for large images.*image_size above 64"):
            load_weights(create_backbone(plan), plan, source)
    # A 3x3 stem of another width is another model, not another stem.
    wide = Backbone.choose("resnet18", 32, {"channels": [16, 16, 16, 16]})
    torch.save(random_state(create_backbone(plan)), tmp_path / "weights.pth")
    with pytest.raises(
        BraddError, match=r"are not those of resnet18, channels=\[16, 16, 16, 16\] with"
    ):
        load_weights(create_backbone(wide), wide, tmp_path / "weights.pth")
    # A stem of three 3x3 convolutions is kept, but for its stride.
    plan = Backbone.choose("resnet10t", 32, NARROW)
    state = published(plan)
    torch.save(state, tmp_path / "weights.pth")
    model = create_backbone(plan)
    load_weights(model, plan, tmp_path / "weights.pth")
    assert holds(model, state)


def test_old_batch_norms_have_no_counter(tmp_path: Path) -> None:
    plan = PLANS["resnet18"]
    state = published(plan)
    old = {name: v for name, v in state.items() if not name.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "weights.pth")
    model = create_backbone(plan)
    load_weights(model, plan, tmp_path / "weights.pth")
    assert all(torch.equal(model.state_dict()[name], old[name]) for name in old if "fc" not in name)


def test_a_file_without_this_backbone_is_said(tmp_path: Path) -> None:
    plan = PLANS["resnet18"]
    for contents in ({"epoch": 3}, {"encoder": {"weight": torch.rand(2)}}, [torch.rand(2)]):
        torch.save(contents, tmp_path / "weights.pth")
        with pytest.raises(BraddError, match=r"weights\.pth holds no weights of this backbone"):
            load_weights(create_backbone(plan), plan, tmp_path / "weights.pth")


def test_several_backbones_are_not_guessed_between(tmp_path: Path) -> None:
    plan = PLANS["resnet18"]
    both = under("left.", published(plan)) | under("right.", published(plan, 2))
    torch.save(both, tmp_path / "weights.pth")
    with pytest.raises(BraddError, match=r"several backbones, under left\., right\."):
        load_weights(create_backbone(plan), plan, tmp_path / "weights.pth")


class Unknown:
    """Something that reading tensors alone must not bring to life."""


@pytest.mark.parametrize("damage", ["missing", "folder", "empty", "text", "truncated", "objects"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_that_cannot_be_read_is_said(damage: str, suffix: str, tmp_path: Path) -> None:
    plan = PLANS["resnet18"]
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(published(plan), path)
    else:
        save_file(published(plan), path)
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "folder":
        path.unlink()
        path.mkdir()
    elif damage == "objects":
        torch.save({"model": published(plan), "trainer": Unknown()}, path)
    else:
        path.write_bytes({"empty": b"", "text": b"x" * 99, "truncated": whole[:-99]}[damage])
    with pytest.raises(BraddError, match=rf"weights: .*weights{suffix} ") as caught:
        load_weights(create_backbone(plan), plan, path)
    if damage == "missing":
        assert "does not exist" in str(caught.value)
    if damage == "objects" and suffix == ".pth":
        assert "could run any code" in str(caught.value)


@pytest.mark.parametrize("reason", ["no network", "none published"])
def test_timms_weights_that_cannot_be_had_are_said_with_a_way_out(
    reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reason == "no network":
        plan = PLANS["vit_tiny_patch16_224"]

        def refuse(*_: Any, **__: Any) -> None:
            raise OSError("Name or service not known")

        monkeypatch.setattr("timm.models._builder.load_pretrained", refuse)
        says = r"vit_tiny_patch16_224 could not be had: Name or service.*give that file as weights"
    else:
        plan = Backbone.choose("resnet50t", 224, NARROW)
        says = "resnet50t could not be had"
    with pytest.raises(BraddError, match=says):
        load_weights(create_backbone(plan), plan, "timm")


def test_timms_weights_are_fitted_like_those_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model as published has 12 blocks of 14 x 14 patches; ours has fewer patches."""
    plan = Backbone.choose("vit_tiny_patch16_224", 32)
    whole = timm.create_model(plan.name)
    state = random_state(whole)
    whole.load_state_dict(state)
    asked = []

    def create(name: str, **arguments: Any) -> nn.Module:
        asked.append((name, arguments))
        return whole

    model = create_backbone(plan)
    shallow = Backbone.choose(plan.name, 32, SHALLOW)
    small = create_backbone(shallow)
    monkeypatch.setattr("bradd.ssl.weights.timm.create_model", create)
    load_weights(model, plan, "timm")
    assert asked == [(plan.name, {"pretrained": True})]
    assert torch.equal(
        model.state_dict()["blocks.11.mlp.fc1.weight"], state["blocks.11.mlp.fc1.weight"]
    )
    assert model.state_dict()["pos_embed"].shape == (1, 65, 192)
    # timm itself would leave out ten blocks without a word.
    with pytest.raises(BraddError, match=r"unexpected blocks\.2\."):
        load_weights(small, shallow, "timm")
