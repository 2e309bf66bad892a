from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from bradd.errors import BraddError
from bradd.ssl import Backbone, create_backbone, load_backbone
from bradd.ssl.backbone import embedding_size, load_snippet, save_backbone
from bradd.ssl.families import is_transformer

NARROW = {"channels": [8, 8, 8, 16]}
FAMILIES: dict[str, dict[str, Any]] = {
    "resnet18": NARROW,
    "resnet10t": NARROW,  # has a stem of three convolutions
    "resnet50": NARROW,
    "vit_tiny_patch16_224": {"depth": 2},
    "convnext_atto": {"depths": [1, 1, 1, 1]},
}
# ConvNeXt's stem and three halvings leave nothing of 16 pixels.
BUILDABLE = [
    (name, size)
    for name in FAMILIES
    for size in (16, 32, 64, 224)
    if (name, size) != ("convnext_atto", 16)
]


def trained(backbone: Backbone) -> nn.Module:
    """A backbone whose every weight and buffer differs from a new one's."""
    torch.manual_seed(1)
    model = create_backbone(backbone)
    for value in model.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.5, 1.5).div_(max(1, value[0].numel()))
        else:
            value.fill_(7)
    return model.eval()


def embeddings(model: nn.Module, size: int) -> torch.Tensor:
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        output: torch.Tensor = model.eval()(images)
    return output


@pytest.mark.parametrize(
    ("size", "stride", "side"), [(16, 1, 2), (32, 1, 4), (64, 2, 4), (224, 0, 7)]
)
@pytest.mark.parametrize("name", ["resnet18", "resnet10t", "resnet50"])
def test_a_resnet_keeps_a_feature_map_of_small_images(
    name: str, size: int, stride: int, side: int
) -> None:
    backbone = Backbone.choose(name, size)
    assert (backbone.stem_stride, backbone.kwargs) == (stride, {})
    backbone = Backbone.choose(name, size, NARROW)
    model: Any = create_backbone(backbone).eval()
    with torch.no_grad():
        features = model.forward_features(torch.zeros(1, 3, size, size))
    assert features.shape[2:] == (side, side)
    assert isinstance(model.maxpool, nn.Identity) is (stride > 0)


@pytest.mark.parametrize(("size", "tokens"), [(16, 64), (32, 64), (64, 64), (224, 196)])
def test_a_vision_transformer_gets_eight_by_eight_patches_of_small_images(
    size: int, tokens: int
) -> None:
    backbone = Backbone.choose("vit_tiny_patch16_224", size)
    model: Any = create_backbone(backbone)
    assert backbone.stem_stride == 0
    assert model.patch_embed.num_patches == tokens


def test_given_arguments_win_and_are_shown() -> None:
    backbone = Backbone.choose("vit_tiny_patch16_224", 32, {"patch_size": 16, "depth": 2})
    assert backbone.kwargs == {"img_size": 32, "patch_size": 16, "depth": 2}
    assert backbone.describe() == (
        "vit_tiny_patch16_224, img_size=32, patch_size=16, depth=2, for images of 32 pixels"
    )
    small = Backbone.choose("resnet18", 32, {"channels": [4, 4, 8, 8]})
    assert small.describe().endswith(
        "channels=[4, 4, 8, 8] with a 3x3 stem of stride 1, for images of 32 pixels"
    )
    assert embedding_size(create_backbone(small), 32) == 8


def test_the_stem_of_a_resnet_can_be_chosen() -> None:
    backbone = Backbone.choose("resnet18", 32, {**NARROW, "stem_stride": 2})
    assert backbone == Backbone("resnet18", 32, NARROW, stem_stride=2)
    model: Any = create_backbone(backbone)
    assert model.conv1.stride == (2, 2)
    assert model.conv1.kernel_size == (3, 3)
    assert Backbone.choose("resnet18", 32, {"stem_stride": 0}).stem_stride == 0


@pytest.mark.parametrize(("name", "stride"), [("resnet18", 3), ("vit_tiny_patch16_224", 2)])
def test_a_stem_that_cannot_be_had_is_named(name: str, stride: int) -> None:
    with pytest.raises(BraddError, match=f"stem_stride={stride}: it is 0"):
        Backbone.choose(name, 32, {"stem_stride": stride})


@pytest.mark.parametrize(
    ("name", "with_classifier", "without", "width"),
    [
        ("resnet50", 25_557_032, 23_508_032, 2048),
        ("vit_small_patch16_224", 22_050_664, 21_665_664, 384),
        ("vit_base_patch16_224", 86_567_656, 85_798_656, 768),
    ],
)
def test_the_papers_backbones_have_the_papers_parameters(
    name: str, with_classifier: int, without: int, width: int
) -> None:
    """25.6, 22.1 and 86.6 million with a classifier of 1000 classes, which pre-training lacks."""
    backbone = Backbone.choose(name, 224)
    with torch.device("meta"):
        whole = timm.create_model(name)
        bare = timm.create_model(name, num_classes=0, **backbone.kwargs)
    counts = [sum(p.numel() for p in model.parameters()) for model in (whole, bare)]
    assert counts == [with_classifier, without]
    assert counts[0] - counts[1] == 1000 * (width + 1)
    assert backbone.stem_stride == 0
    millions = {"resnet50": 25.6, "vit_small_patch16_224": 22.1, "vit_base_patch16_224": 86.6}
    assert round(counts[0] / 1e6, 1) == millions[name]


def test_our_resnet50_has_no_classifier() -> None:
    model = create_backbone(Backbone.choose("resnet50", 224))
    assert sum(p.numel() for p in model.parameters()) == 23_508_032


@pytest.mark.parametrize(
    ("name", "transformer"),
    [
        ("vit_small_patch16_224", True),
        ("vit_small_patch16_dinov3", True),
        ("vit_base_r50_s16_224", True),
        ("deit3_small_patch16_224", True),
        ("swin_tiny_patch4_window7_224", True),
        ("swinv2_tiny_window8_256", True),
        ("beitv2_base_patch16_224", True),
        ("eva02_tiny_patch14_224", True),
        ("flexivit_small", True),
        ("volo_d1_224", True),
        ("xcit_nano_12_p8_224", True),
        ("resnet50", False),
        ("resnetv2_50", False),
        ("convnext_tiny", False),
        ("efficientnet_b0", False),
        ("regnety_004", False),
        ("mobilenetv3_small_100", False),
        ("vgg11", False),
    ],
)
def test_transformers_are_told_from_convolutional_networks(name: str, transformer: bool) -> None:
    assert is_transformer(name) is transformer


def test_only_a_known_name_can_be_a_transformer() -> None:
    with pytest.raises(BraddError, match=r"no model called 'vit_smal_patch16_224'.*vit_small"):
        is_transformer("vit_smal_patch16_224")


@pytest.mark.parametrize("name", ["resnet18", "resnet10t", "vit_tiny_patch16_224"])
@pytest.mark.parametrize("size", [32, 224])
def test_other_than_three_channels_are_refused(name: str, size: int) -> None:
    with pytest.raises(BraddError, match=r"in_chans=1.*RGB"):
        create_backbone(Backbone.choose(name, size, {"in_chans": 1}))
    create_backbone(Backbone.choose("resnet18", 32, {"in_chans": 3, **NARROW}))


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(BraddError, match=r"no model called 'resnet_18'.*resnet18"):
        Backbone.choose("resnet_18", 32)
    with pytest.raises(BraddError, match=r"no model called 'qqqqqqqq'\.$"):
        Backbone.choose("qqqqqqqq", 32)


@pytest.mark.parametrize(
    ("name", "size", "kwargs", "says"),
    [
        ("convnext_atto", 16, {}, "for images of 16 pixels: .*image_size"),
        ("resnet18", 32, {"nonsense": 1}, "'nonsense'"),
        ("resnet18", 32, {"channels": [8]}, r"channels=\[8\]"),
        ("resnet18", 32, {"num_classes": 10}, "num_classes"),
        ("vit_tiny_patch16_224", 32, {"patch_size": 0}, "patch_size=0"),
        ("vit_tiny_patch16_224", 32, {"img_size": 48}, "img_size=48"),
        # What is built must embed: one vector an image.
        ("resnet18", 32, {"global_pool": ""}, r"\[1, 512, 4, 4\]"),
        ("vit_tiny_patch16_224", 32, {"global_pool": ""}, r"\[1, 65, 192\]"),
        ("resnet18", 32, {"features_only": True}, "features_only=True"),
    ],
)
def test_what_cannot_be_built_is_said_with_its_arguments(
    name: str, size: int, kwargs: dict[str, Any], says: str
) -> None:
    with pytest.raises(BraddError, match=f"timm cannot build {name}.*{says}"):
        create_backbone(Backbone.choose(name, size, kwargs))


def test_every_size_of_a_view_is_tried() -> None:
    vit = Backbone.choose("vit_tiny_patch16_224", 32, {"depth": 1}, several_sizes=True)
    assert vit.kwargs["dynamic_img_size"]
    create_backbone(vit, {32, 16})
    with pytest.raises(BraddError, match=r"cannot embed views of 15 pixels: .*local_count 0"):
        create_backbone(vit, {32, 15})
    # One that takes no such setting is told by what it cannot do.
    mixer = Backbone.choose("mixer_s32_224", 224, several_sizes=True)
    assert "dynamic_img_size" not in mixer.kwargs


def test_embedding_size_leaves_the_mode_and_the_statistics_alone() -> None:
    model = create_backbone(Backbone.choose("resnet18", 32, {"channels": [4, 4, 8, 8]}))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert embedding_size(model.train(), 32) == 8
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(("name", "size"), BUILDABLE)
def test_a_saved_backbone_is_loaded_exactly_by_bradd_and_by_timm_alone(
    name: str, size: int, tmp_path: Path
) -> None:
    backbone = Backbone.choose(name, size, FAMILIES[name])
    model, path = trained(backbone), tmp_path / "my 'backbone'.safetensors"
    save_backbone(model, backbone, path, {"seed": 3, "note": "ü"})
    expected = embeddings(model, size)
    assert expected.isfinite().all()
    assert not torch.equal(expected[0], expected[1])

    loaded, how, facts = load_backbone(path)
    assert (how, facts) == (backbone, {"seed": 3, "note": "ü"})
    assert not any(module.training for module in loaded.modules())
    state = loaded.state_dict()
    assert list(state) == list(model.state_dict())
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
    assert torch.equal(embeddings(loaded, size), expected)

    snippet = load_snippet(backbone, path)
    assert "bradd" not in snippet.replace(str(path), "")
    namespace: dict[str, Any] = {}
    exec(snippet, namespace)
    assert torch.equal(embeddings(namespace["model"], size), expected)


def test_the_file_holds_weights_as_they_are(tmp_path: Path) -> None:
    """No prefix, nothing but the state: any reader of safetensors can use it."""
    backbone = Backbone.choose("resnet18", 32, {"channels": [4, 4, 8, 8]})
    model = trained(backbone).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    save_backbone(model, backbone, tmp_path / "b.safetensors", {})
    stored = load_file(tmp_path / "b.safetensors")
    assert stored.keys() == model.state_dict().keys()
    assert all(torch.equal(stored[key], value) for key, value in model.state_dict().items())
    assert [path.name for path in tmp_path.iterdir()] == ["b.safetensors"]


@pytest.mark.parametrize("damage", ["empty", "truncated", "header", "text", "folder", "missing"])
def test_a_damaged_file_is_said(damage: str, tmp_path: Path) -> None:
    backbone = Backbone.choose("resnet18", 32, {"channels": [4, 4, 8, 8]})
    path = tmp_path / "b.safetensors"
    save_backbone(create_backbone(backbone), backbone, path, {})
    whole = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "missing":
        contents = {"empty": b"", "truncated": whole[:-9], "header": whole[:50], "text": b"x" * 99}
        path.write_bytes(contents[damage])
    says = "does not exist" if damage == "missing" else "is no safetensors file, or damaged"
    with pytest.raises(BraddError, match=rf"b\.safetensors {says}"):
        load_backbone(path)


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"format": "pt"},
        {"bradd": "no JSON"},
        {"bradd": "[]"},
        {"bradd": "{}"},
        {"bradd": '{"backbone": {"name": "resnet18"}}'},
        {"bradd": '{"backbone": {"name": "resnet18", "image_size": 32, "colour": 1}}'},
    ],
)
def test_a_file_of_others_is_told_apart(metadata: dict[str, str] | None, tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "b.safetensors", metadata=metadata)
    with pytest.raises(BraddError, match="bradd did not write it"):
        load_backbone(tmp_path / "b.safetensors")


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    small = Backbone.choose("resnet18", 32, {"channels": [4, 4, 8, 8]})
    wide = Backbone.choose("resnet18", 32, {"channels": [8, 8, 8, 8]})
    save_backbone(create_backbone(wide), small, tmp_path / "b.safetensors", {})
    with pytest.raises(BraddError, match=r"not those of resnet18, channels=\[4, 4, 8, 8\]"):
        load_backbone(tmp_path / "b.safetensors")
