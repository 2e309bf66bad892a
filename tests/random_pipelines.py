"""Pipelines of diffusers' real classes with random weights: tiny ones, and one of full size."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableUnCLIPImg2ImgPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import (
    StableUnCLIPImageNormalizer,
)
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

# What stable-diffusion-2-1-unclip is made of: 768 pixels, CLIP ViT-H/14.
SD21_UNCLIP: dict[str, dict[str, Any]] = {
    "vision": {
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "num_hidden_layers": 32,
        "num_attention_heads": 16,
        "image_size": 224,
        "patch_size": 14,
        "projection_dim": 1024,
    },
    "text": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 23,
        "num_attention_heads": 16,
        "vocab_size": 49408,
    },
    "unet": {
        "sample_size": 96,
        "block_out_channels": (320, 640, 1280, 1280),
        "attention_head_dim": (5, 10, 20, 20),
        "cross_attention_dim": 1024,
        "use_linear_projection": True,
    },
    "vae": {
        "block_out_channels": (128, 256, 512, 512),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 2,
        "sample_size": 768,
    },
    "schedule": {"prediction_type": "v_prediction"},
}

# The same parts for pictures of 32 pixels.
TINY: dict[str, dict[str, Any]] = {
    "vision": {
        "hidden_size": 32,
        "intermediate_size": 37,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": 32,
        "patch_size": 8,
        "projection_dim": 32,
    },
    "text": {
        "hidden_size": 32,
        "intermediate_size": 37,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "vocab_size": 60,
    },
    "unet": {
        "sample_size": 16,
        "block_out_channels": (16, 32),
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "attention_head_dim": (2, 4),
        "cross_attention_dim": 32,
        "layers_per_block": 1,
        "norm_num_groups": 8,
        "use_linear_projection": True,
    },
    "vae": {
        "block_out_channels": (16, 32),
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "norm_num_groups": 8,
        "sample_size": 32,
    },
    "schedule": {},
}

SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def unclip(parts: dict[str, dict[str, Any]]) -> Any:
    """Stable unCLIP."""
    torch.manual_seed(0)
    width = parts["vision"]["projection_dim"]
    return StableUnCLIPImg2ImgPipeline(
        feature_extractor=processor(parts),
        image_encoder=image_encoder(parts),
        image_normalizer=StableUnCLIPImageNormalizer(embedding_dim=width),
        image_noising_scheduler=DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        unet=UNet2DConditionModel(
            **parts["unet"],
            class_embed_type="projection",
            projection_class_embeddings_input_dim=2 * width,
        ),
        scheduler=PNDMScheduler(
            **SCHEDULE, **parts["schedule"], skip_prk_steps=True, steps_offset=1
        ),
        **text_and_vae(parts),
    )


def stable_diffusion(parts: dict[str, dict[str, Any]]) -> Any:
    """Stable Diffusion, without the unCLIP parts."""
    torch.manual_seed(0)
    return StableDiffusionPipeline(
        unet=UNet2DConditionModel(**parts["unet"]),
        scheduler=DDIMScheduler(**SCHEDULE, steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
        **text_and_vae(parts),
    )


def save_ip_adapter(folder: Path, parts: dict[str, dict[str, Any]], unet: Any) -> None:
    """An adapter for a U-Net as `h94/IP-Adapter` holds them: a file, and an image encoder."""
    from safetensors.torch import save_file

    torch.manual_seed(1)
    image_encoder(parts).save_pretrained(folder / "models" / "image_encoder")
    clip, text = parts["vision"]["projection_dim"], parts["unet"]["cross_attention_dim"]
    weights = {
        "image_proj.proj.weight": torch.randn(4 * text, clip),
        "image_proj.proj.bias": torch.zeros(4 * text),
        "image_proj.norm.weight": torch.ones(text),
        "image_proj.norm.bias": torch.zeros(text),
    }
    for number, (name, layer) in enumerate(unet.attn_processors.items()):
        if "attn2" in name:  # only these see text, and beside it the image
            attention = unet.get_submodule(name.removesuffix(".processor"))
            for part, like in (("to_k_ip", attention.to_k), ("to_v_ip", attention.to_v)):
                weights[f"ip_adapter.{number}.{part}.weight"] = torch.randn_like(like.weight)
        del layer
    save_file(weights, folder / "models" / "adapter.safetensors")


def processor(parts: dict[str, dict[str, Any]]) -> Any:
    side = parts["vision"]["image_size"]
    return CLIPImageProcessor(size={"shortest_edge": side}, crop_size=side)


def image_encoder(parts: dict[str, dict[str, Any]]) -> Any:
    return CLIPVisionModelWithProjection(CLIPVisionConfig(**parts["vision"], hidden_act="gelu"))


def text_and_vae(parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "tokenizer": tokenizer(),
        "text_encoder": CLIPTextModel(
            CLIPTextConfig(**parts["text"], hidden_act="gelu", bos_token_id=0, eos_token_id=1)
        ),
        "vae": AutoencoderKL(latent_channels=4, **parts["vae"]),
    }


def tokenizer() -> Any:
    """CLIP's, with the letters as its vocabulary."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{one}</w>" for one in letters)]
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = {word: number for number, word in enumerate(words)}
        Path(folder, "vocab.json").write_text(json.dumps(vocabulary))
        Path(folder, "merges.txt").write_text("#version: 0.2\n")
        return CLIPTokenizer.from_pretrained(folder, model_max_length=77)
