"""kNN accuracy of every method after equal training, ours beside lightly's recipes.

    python benchmarks/methods.py --data CIFAR10_FOLDER --out runs/methods --epochs 10 --seeds 0,1

`CIFAR10_FOLDER` holds `train/<class>/*` and `test/<class>/*`. Each arm trains one small ResNet-18
(3x3 stem of stride 2, 0.7 million weights) on the same balanced 1,240 images a class for the same
number of epochs at batch size 128. Ours have the defaults of `bradd.pretrain` for the method;
lightly's are its modules and transforms as its CIFAR-10 benchmark sets them up
(https://docs.lightly.ai/self-supervised-learning/getting_started/benchmarks.html), without the
queue of its MoCo, which is of version 2. All are scored by the same code: 20 cosine neighbours,
temperature 0.07, voting among the 12,400 training images, 10,000 test images. Finished arms are
kept in OUT and not run again.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import timm
import torch
from lightly.data import LightlyDataset
from lightly.loss import DINOLoss, NTXentLoss
from lightly.models.modules import DINOProjectionHead, SimCLRProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.transforms import DINOTransform, SimCLRTransform
from torch import Tensor, nn

import bradd
from bradd.data import FileImages, folder_images
from bradd.evaluation.knn import knn_predict
from bradd.facts import Facts
from bradd.pool import Pool
from bradd.presets import resolve
from bradd.ssl import DINO, SDCLR, Method, MoCoV3, SimCLR
from bradd.ssl.backbone import Backbone, create_backbone
from bradd.ssl.pretraining import Pretraining
from bradd.trainer import training_loader

PER_CLASS, BATCH_SIZE, SIZE = 1240, 128, 32
CHANNELS = [16, 32, 64, 128]

OURS: dict[str, Any] = {
    "simclr": SimCLR,
    "ts": lambda: SimCLR(temperature_schedule="cosine"),
    "mocov3": MoCoV3,
    "dino": DINO,
    "sdclr": SDCLR,
}

OURS_SETTINGS: dict[str, Any] = {}


def balanced_images(data: Path) -> tuple[FileImages, FileImages]:
    """The first 1,240 training images a class, and all test images."""
    train, test = folder_images(data / "train"), folder_images(data / "test")
    seen: dict[str, int] = {}
    names = []
    for name in train.names:
        label = name.split("/")[0]
        seen[label] = seen.get(label, 0) + 1
        if seen[label] <= PER_CLASS:
            names.append(name)
    return FileImages(train.root, names), test


def small_resnet() -> Backbone:
    return Backbone("resnet18", SIZE, {"channels": CHANNELS}, stem_stride=2)


def train_ours(method: Method, images: FileImages, epochs: int, seed: int, out: Path) -> nn.Module:
    """As `bradd.pretrain` does it, but for the stem, which it would give stride 1."""
    settings = resolve(
        {"backbone": "resnet18", "method": method, "cycles": 1, "epochs_per_cycle": epochs,
         "batch_size": BATCH_SIZE, "seed": seed, **OURS_SETTINGS},
        Facts(len(images), SIZE, cuda=False, cores=1),
    )  # fmt: skip
    torch.manual_seed(seed)
    steps = len(images) // BATCH_SIZE
    module = Pretraining(
        create_backbone(small_resnet()),
        settings.method,
        image_size=SIZE,
        images=len(images),
        seed=seed,
        optimizer=settings.optimizer,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        final_weight_decay=settings.final_weight_decay,
        steps=epochs * steps,
        epochs=epochs,
        warmup_steps=settings.warmup_epochs * steps,
        channels_last=settings.channels_last,
    )
    pool = Pool(images, out)
    sampler = pool.sampler(seed, BATCH_SIZE)
    loader = training_loader(pool, sampler, settings.views, SIZE, 0, settings.cache)
    trainer(epochs, settings.gradient_clip).fit(module, loader)
    return module.get_submodule(settings.method.encoder)


def trainer(epochs: int, gradient_clip: float = 0.0) -> L.Trainer:
    return L.Trainer(
        max_epochs=epochs, accelerator="cpu", devices=1, logger=False,
        gradient_clip_val=gradient_clip or None, use_distributed_sampler=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip


class LightlySimCLR(L.LightningModule):
    """https://docs.lightly.ai/self-supervised-learning/examples/simclr.html"""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = SimCLRProjectionHead(CHANNELS[-1], CHANNELS[-1], 128)
        self.criterion = NTXentLoss()

    def training_step(self, batch: Any, _: int) -> Tensor:
        (first, second), *_ = batch
        loss: Tensor = self.criterion(
            self.head(self.backbone(first)), self.head(self.backbone(second))
        )
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), 6e-2, momentum=0.9, weight_decay=5e-4)
        steps = self.trainer.estimated_stepping_batches
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, int(steps))
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


class LightlyDINO(LightlySimCLR):
    """https://docs.lightly.ai/self-supervised-learning/examples/dino.html"""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__(backbone)
        self.head = DINOProjectionHead(CHANNELS[-1], 2048, 256, 2048, batch_norm=True)
        self.teacher_backbone = copy.deepcopy(backbone)
        self.teacher_head = DINOProjectionHead(CHANNELS[-1], 2048, 256, 2048, batch_norm=True)
        deactivate_requires_grad(self.teacher_backbone)
        deactivate_requires_grad(self.teacher_head)
        self.criterion = DINOLoss(output_dim=2048)

    def training_step(self, batch: Any, _: int) -> Tensor:
        update_momentum(self.backbone, self.teacher_backbone, m=0.99)
        update_momentum(self.head, self.teacher_head, m=0.99)
        views, *_ = batch
        teacher = [self.teacher_head(self.teacher_backbone(view)) for view in views[:2]]
        student = [self.head(self.backbone(view)) for view in views]
        loss: Tensor = self.criterion(teacher, student, epoch=self.current_epoch)
        return loss


LIGHTLY: dict[str, Any] = {
    "simclr": (LightlySimCLR, {"gaussian_blur": 0.0}, SimCLRTransform),
    "dino": (
        LightlyDINO,
        {"global_crop_size": 32, "n_local_views": 0, "gaussian_blur": (0, 0, 0)},
        DINOTransform,
    ),
}


def train_lightly(name: str, images: FileImages, epochs: int, seed: int) -> nn.Module:
    make, settings, transform_class = LIGHTLY[name]
    if name == "simclr":
        settings = settings | {"input_size": SIZE}
    L.seed_everything(seed, verbose=False)
    module = make(create_backbone(small_resnet()))
    dataset = LightlyDataset(
        str(images.root), transform=transform_class(cj_strength=0.5, **settings),
        filenames=images.names,
    )  # fmt: skip
    loader = torch.utils.data.DataLoader(dataset, BATCH_SIZE, shuffle=True, drop_last=True)
    trainer(epochs).fit(module, loader)
    backbone: nn.Module = module.backbone
    return backbone


def knn_accuracy(backbone: nn.Module, train: FileImages, test: FileImages) -> float:
    encoder = bradd.Encoder(backbone, SIZE)
    classes = sorted({name.split("/")[0] for name in train.names})
    labels = [
        np.array([classes.index(name.split("/")[0]) for name in part.names])
        for part in (train, test)
    ]
    features = [bradd.embed(part, encoder) for part in (train, test)]
    predicted = knn_predict(features[0], labels[0], features[1], num_classes=len(classes))
    return float((predicted == labels[1]).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", default="0,1")
    everything = [*(f"bradd:{name}" for name in OURS), *(f"lightly:{name}" for name in LIGHTLY)]
    parser.add_argument("--settings", default="{}", help="of ours, as JSON, to try others")
    parser.add_argument("--arms", default=",".join(everything))
    options = parser.parse_args()

    OURS_SETTINGS.update(json.loads(options.settings))
    options.out.mkdir(parents=True, exist_ok=True)
    train, test = balanced_images(options.data)
    for seed in map(int, options.seeds.split(",")):
        for arm in options.arms.split(","):
            package, name = arm.split(":")
            out = options.out / f"{package}-{name}-{options.epochs}-{seed}"
            result = out.with_suffix(".json")
            if not result.exists():
                start = time.perf_counter()
                if package == "bradd":
                    backbone = train_ours(OURS[name](), train, options.epochs, seed, out)
                else:
                    backbone = train_lightly(name, train, options.epochs, seed)
                seconds = time.perf_counter() - start
                accuracy = knn_accuracy(backbone, train, test)
                result.write_text(json.dumps({"knn": accuracy, "seconds": seconds}))
    print_table(options.out, options.arms.split(","), options.epochs)


def print_table(out: Path, arms: list[str], epochs: int) -> None:
    print(f"torch {torch.__version__}, timm {timm.__version__}, {epochs} epochs")
    print("| arm | kNN % a seed | mean | 95 % interval of the mean | seconds |")
    print("|---|---|---|---|---|")
    for arm in arms:
        found = sorted(out.glob(f"{arm.replace(':', '-')}-{epochs}-*.json"))
        results = [json.loads(path.read_text()) for path in found]
        if not results:
            continue
        accuracies = 100 * np.array([result["knn"] for result in results])
        mean = accuracies.mean()
        # Of the test images only: seeds are too few to tell how far runs lie apart.
        error = 1.96 * np.sqrt(mean * (100 - mean) / 10_000 / len(accuracies))
        each = " ".join(f"{accuracy:.1f}" for accuracy in accuracies)
        seconds = np.mean([result["seconds"] for result in results])
        print(f"| {arm} | {each} | {mean:.1f} | +- {error:.1f} | {seconds:.0f} |")


if __name__ == "__main__":
    main()
