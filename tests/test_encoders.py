"""Encoders by name: they embed as their own library does, and wrong names are met at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch

from bradd.encoders import open_encoder
from bradd.errors import BraddError
from bradd.ssl.backbone import Backbone, create_backbone, save_backbone

MEAN, STD = [0.1, 0.2, 0.3], [0.5, 0.6, 0.7]
SIDE = 32


def refused(*arguments: Any) -> str:
    with pytest.raises(BraddError) as caught:
        open_encoder(*arguments)
    return str(caught.value)


def pixels(side: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 3, side, side), generator=generator, dtype=torch.uint8)


def normalised(images: torch.Tensor, mean: list[float], std: list[float]) -> torch.Tensor:
    return (images / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


@pytest.fixture(scope="module")
def timm_weights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.nn.Module]:
    torch.manual_seed(0)
    model = timm.create_model("test_vit").eval()
    path = tmp_path_factory.mktemp("weights") / "test_vit.pth"
    torch.save(model.state_dict(), path)
    return path, model


def test_a_timm_model_embeds_as_in_timm(timm_weights: tuple[Path, Any]) -> None:
    path, model = timm_weights
    opened = open_encoder("timm:test_vit", path)
    config = timm.data.resolve_model_data_config(model)
    side = config["input_size"][-1]
    assert opened.encoder.image_size == opened.facts["image_size"] == side == 160
    images = pixels(side)
    with torch.no_grad():
        features = model.forward_features(normalised(images, config["mean"], config["std"]))
        expected = model.forward_head(features, pre_logits=True)
    np.testing.assert_allclose(opened.encoder(images), expected.numpy(), atol=1e-5)
    assert opened.facts["weights"] == str(path)


def test_a_run_is_opened_by_folder_file_and_prefix(tmp_path: Path) -> None:
    plan = Backbone.choose("resnet18", 16, {"channels": [4, 4, 8, 8]})
    save_backbone(create_backbone(plan), plan, tmp_path / "backbone.safetensors", {})
    file = tmp_path / "backbone.safetensors"
    encoders = [open_encoder(name) for name in (tmp_path, f"run:{tmp_path}", file, f"run:{file}")]
    assert len({one.encoder.fingerprint() for one in encoders}) == 1
    assert encoders[0].encoder(pixels(16)).shape == (2, 8)
    (tmp_path / "config.yaml").write_text("seed: 0")
    file.unlink()
    assert "is not finished" in refused(tmp_path)
    (tmp_path / "config.yaml").unlink()
    assert f"{tmp_path} holds no run" in refused(tmp_path)


def test_wrong_names_are_met_with_the_nearest() -> None:
    assert "'test_vitt'. Did you mean test_vit" in refused("timm:test_vitt")
    assert "Did you mean 'timm:resnet18'?" in refused("resnet18")
    assert "Did you mean 'timm:resnet18'?" in refused("tim:resnet18")
    assert "Did you mean 'timm:resnet18'?" in refused("resnet_18")
    assert "There are resnet18.a1_in1k" in refused("timm:resnet18.nonsense")
    assert "Give timm:NAME" in refused("hf:")
    assert "no folder ./nowhere" in refused("hf:./nowhere")
    assert "does not exist" in refused("run:/nowhere/backbone.safetensors")


def test_a_model_without_published_weights_needs_a_file() -> None:
    name = next(
        model
        for model in timm.list_models("vit_*")
        if not timm.models.get_pretrained_cfg(model).has_weights
    )
    assert "timm publishes no weights" in refused(f"timm:{name}")
    assert "/nowhere.pth does not exist" in refused("timm:test_vit", "/nowhere.pth")
    assert "weights go with a timm encoder" in refused("hf:some/model", "file.pth")


def test_without_transformers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert "pip install 'bradd[hf]'" in refused("hf:facebook/dinov2-small")


def save_vit(folder: Path, pooler: bool) -> Any:
    transformers = pytest.importorskip("transformers")
    settings = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.ViTConfig(**settings, intermediate_size=16, image_size=SIDE, patch_size=8)
    torch.manual_seed(0)
    model = transformers.ViTModel(config, add_pooling_layer=pooler).eval()
    model.save_pretrained(folder)
    processor = transformers.ViTImageProcessor(
        size={"height": SIDE, "width": SIDE}, image_mean=MEAN, image_std=STD
    )
    processor.save_pretrained(folder)
    return model


@pytest.mark.parametrize("pooler", [True, False])
def test_a_hugging_face_model_embeds_as_in_transformers(tmp_path: Path, pooler: bool) -> None:
    """Without a pooler in the file, transformers makes a random one: it is not used."""
    model = save_vit(tmp_path, pooler)
    opened = open_encoder(f"hf:{tmp_path}")
    with torch.no_grad():
        outputs = model(pixel_values=normalised(pixels(SIDE), MEAN, STD))
    expected = outputs.pooler_output if pooler else outputs.last_hidden_state[:, 0]
    np.testing.assert_allclose(opened.encoder(pixels(SIDE)), expected.numpy(), atol=1e-5)
    assert opened.facts["pooling"] == ("pooler_output" if pooler else "class token")
    assert open_encoder(f"hf:{tmp_path}").encoder.fingerprint() == opened.encoder.fingerprint() or (
        not pooler  # the random one that is not used
    )


def test_a_checkpoint_in_half_precision_runs_in_float32(tmp_path: Path) -> None:
    model = save_vit(tmp_path, pooler=True).to(torch.bfloat16)
    model.save_pretrained(tmp_path)
    opened = open_encoder(f"hf:{tmp_path}")
    assert {part.dtype for part in opened.encoder.backbone.parameters()} == {torch.float32}
    with torch.no_grad():
        expected = model.float()(pixel_values=normalised(pixels(SIDE), MEAN, STD)).pooler_output
    np.testing.assert_allclose(opened.encoder(pixels(SIDE)), expected.numpy(), atol=1e-6)


def test_a_convolutional_network_of_hugging_face(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic"
    )
    transformers.ResNetModel(config).save_pretrained(tmp_path)
    transformers.ConvNextImageProcessor(size={"shortest_edge": SIDE}).save_pretrained(tmp_path)
    opened = open_encoder(f"hf:{tmp_path}")
    assert opened.encoder(pixels(SIDE)).shape == (2, 12)
    assert opened.encoder.image_size == SIDE


def test_a_model_of_images_and_texts_projects_images(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tower = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    config = transformers.CLIPConfig(
        text_config={**tower, "vocab_size": 50, "bos_token_id": 0, "eos_token_id": 1},
        vision_config={**tower, "image_size": SIDE, "patch_size": 8},
        projection_dim=8,
    )
    transformers.CLIPModel(config).save_pretrained(tmp_path)
    transformers.CLIPImageProcessor(
        size={"shortest_edge": 40}, crop_size={"height": SIDE, "width": SIDE}
    ).save_pretrained(tmp_path)
    opened = open_encoder(f"hf:{tmp_path}")
    assert opened.facts["pooling"] == "projected image features"
    assert opened.encoder(pixels(SIDE)).shape == (2, 8)
    assert opened.encoder.image_size == SIDE


def test_incomplete_and_unsuitable_models_are_refused(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    model = save_vit(tmp_path / "incomplete", pooler=False)
    state = {name: value for name, value in model.state_dict().items() if "layernorm." not in name}
    model.save_pretrained(tmp_path / "incomplete", state_dict=state)
    assert "holds no weights for layernorm" in refused(f"hf:{tmp_path / 'incomplete'}")

    save_vit(tmp_path / "bare", pooler=True)
    (tmp_path / "bare" / "preprocessor_config.json").unlink()
    assert "could not be had" in refused(f"hf:{tmp_path / 'bare'}")

    config = transformers.BertConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        vocab_size=50,
    )
    transformers.BertModel(config).save_pretrained(tmp_path / "text")
    transformers.ViTImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(
        tmp_path / "text"
    )
    assert "(BertModel) does not embed images" in refused(f"hf:{tmp_path / 'text'}")
