from __future__ import annotations

from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from bradd.data import ArrayImages, LabelledImages, UnreadableImage
from bradd.embedding import Encoder, embed
from bradd.errors import BraddError
from bradd.evaluation.health import feature_std, rank_me, uniformity
from bradd.ssl import Backbone, create_backbone
from bradd.ssl.health import COLLAPSED, Health
from bradd.ssl.health_sample import stratified_sample
from bradd.views import DINOViews, SimCLRViews
from samples import SIZE, TinyBackbone, picture

STILL = SimCLRViews(minimum_scale=1, jitter=0, grey=0, blur=0, flip=0)


class CountingImages(ArrayImages):
    """Counts how often each image is decoded."""

    def __init__(self, count: int) -> None:
        arrays = np.stack([np.asarray(picture(seed)) for seed in range(count)])
        super().__init__(arrays, [f"{seed}.png" for seed in range(count)])
        self.loads = np.zeros(count, int)

    def load(self, index: int, *args: Any) -> Image.Image:
        self.loads[index] += 1
        return super().load(index, *args)


class Module(L.LightningModule):
    """A backbone that is trained, by a loss that needs no more than random pixels."""

    def __init__(self, backbone: nn.Module | None = None) -> None:
        super().__init__()
        self.backbone = backbone or TinyBackbone()
        self.method = nn.ModuleDict({"teacher": TinyBackbone()})
        self.drop = nn.Dropout(0.5)
        self.draws: list[float] = []

    def training_step(self, batch: Tensor, _: int) -> Tensor:
        self.draws.append(torch.rand(1).item() + np.random.random())  # noqa: NPY002
        loss: Tensor = self.drop(self.backbone(torch.rand(4, 3, SIZE, SIZE))).square().mean()
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.backbone.parameters(), lr=0.01)


class Record(L.Callback):
    """What a later callback sees at the end of each epoch."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.epochs.append(metrics | {"epoch": trainer.current_epoch})


def health(images: ArrayImages | None = None, **settings: Any) -> Health:
    defaults: dict[str, Any] = {"image_size": SIZE, "views": SimCLRViews(blur=0), "seed": 3}
    return Health(images or CountingImages(12), **defaults | settings)


def fit(
    module: L.LightningModule, *callbacks: L.Callback, epochs: int = 1, checkpoint: Any = None
) -> L.Trainer:
    trainer = L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    loader = torch.utils.data.DataLoader(torch.zeros(2, 1))  # type: ignore[arg-type]
    trainer.fit(module, loader, ckpt_path=checkpoint, weights_only=True)
    return trainer


def labelled(count: int, shift: int = 0) -> LabelledImages:
    """Red, green and blue pictures, whose labels may name another colour."""
    colours = np.arange(count) % 3
    arrays = np.zeros((count, SIZE, SIZE, 3), np.uint8)
    arrays[np.arange(count), :, :, colours] = 200
    names = [str(number) for number in range(count)]
    return LabelledImages(ArrayImages(arrays, names), (colours + shift) % 3, ["r", "g", "b"])


def test_what_is_logged_is_measured_on_the_trained_backbone() -> None:
    images, module, record = CountingImages(12), Module(), Record()
    fit(module, health(images, batch_size=5), record, epochs=2)
    embeddings = embed(images, Encoder(module.backbone, SIZE))
    last = record.epochs[-1]
    assert last["rank_me"] == pytest.approx(rank_me(embeddings), rel=1e-4)
    assert last["feature_std"] == pytest.approx(feature_std(embeddings), rel=1e-4)
    assert last["uniformity"] == pytest.approx(uniformity(embeddings), rel=1e-4)
    assert last["feature_std"] != record.epochs[0]["feature_std"]
    assert "knn" not in last


@pytest.mark.parametrize("views", [SimCLRViews(blur=0), DINOViews(local_count=3, local_side=0.5)])
def test_alignment_is_that_of_two_random_views(views: Any) -> None:
    still, random = Record(), Record()
    fit(Module(), health(views=STILL), still)
    fit(Module(), health(views=views), random)
    assert still.epochs[0]["alignment"] == pytest.approx(0, abs=1e-9)
    assert 0.01 < random.epochs[0]["alignment"] < 4


def test_local_views_are_not_kept() -> None:
    images = CountingImages(4)
    callback = health(images, views=DINOViews(local_count=6))
    callback.on_fit_start(L.Trainer(logger=False, accelerator="cpu"), Module())
    assert callback._sample is not None
    assert [len(batch["views"]) for batch in callback._sample.random_views] == [2]


@pytest.mark.parametrize(("shift", "accuracy"), [(0, 100.0), (1, 0.0)])
def test_knn_is_the_accuracy_on_labelled_images_in_percent(shift: int, accuracy: float) -> None:
    record = Record()
    # Six images vote, fewer than the 20 neighbours of the protocol.
    fit(Module(), health(reference=labelled(6), test=labelled(9, shift)), record)
    assert record.epochs[0]["knn"] == accuracy


class PartlyUnreadable(ArrayImages):
    def load(self, index: int, *args: Any) -> Image.Image:
        if index % 4 == 3:
            raise UnreadableImage(f"{index} is damaged")
        return super().load(index, *args)


def test_labelled_images_that_cannot_be_read_are_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    whole = labelled(12)
    images = PartlyUnreadable(whole.images.arrays, whole.images.names)  # type: ignore[attr-defined]
    damaged = LabelledImages(images, whole.labels, whole.classes)
    record = Record()
    fit(Module(), health(reference=damaged, test=damaged), record)
    assert record.epochs[0]["knn"] == 100
    assert "leaves out 3 of 12 labelled images" in caplog.text


def test_an_image_that_cannot_be_read_is_found_before_training() -> None:
    whole = CountingImages(8)
    module = Module()
    with pytest.raises(UnreadableImage, match="3 is damaged"):
        fit(module, health(PartlyUnreadable(whole.arrays, whole.names)))
    assert module.draws == []


def test_checks_come_every_few_epochs_and_at_the_last() -> None:
    images, record = CountingImages(6), Record()
    seen: list[int] = []

    class Checks(Health):
        def _measure(self, *arguments: Any) -> dict[str, float]:
            seen.append(int(arguments[0].current_epoch))
            return super()._measure(*arguments)

    callback = Checks(images, image_size=SIZE, views=STILL, seed=0, every_n_epochs=3)
    fit(Module(), callback, record, epochs=8)
    assert seen == [2, 5, 7]
    assert ["rank_me" in metrics for metrics in record.epochs][:3] == [False, False, True]
    # Each image was decoded before training, once for its centre and once for its views.
    assert images.loads.tolist() == [2] * 6


def test_a_fixed_sample_is_taken() -> None:
    chosen = []
    for seed in (3, 3, 4):
        images = CountingImages(30)
        fit(Module(), health(images, sample=10, seed=seed))
        assert (images.loads > 0).sum() == 10
        chosen.append(np.flatnonzero(images.loads).tolist())
    assert chosen[0] == chosen[1] != chosen[2]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_training_does_not_notice(num_workers: int) -> None:
    results = []
    callback = health(num_workers=num_workers, reference=labelled(6), test=labelled(6))
    for callbacks in ([], [callback]):
        L.seed_everything(0, verbose=False)
        module = Module()
        fit(module, *callbacks, epochs=3)
        after = torch.rand(1).item() + np.random.random()  # noqa: NPY002
        results.append((module.draws, module.state_dict(), after))
        assert all(part.training for part in module.backbone.modules())
    without, with_health = results
    assert without[0] == with_health[0]
    assert without[1].keys() == with_health[1].keys()
    assert all(torch.equal(without[1][name], with_health[1][name]) for name in without[1])
    assert without[2] == with_health[2]


def test_the_encoder_is_found_by_name() -> None:
    module, record = Module(), Record()
    images = CountingImages(8)
    fit(module, health(images, encoder_name="method.teacher"), record)
    teacher = embed(images, Encoder(module.method["teacher"], SIZE))
    student = embed(images, Encoder(module.backbone, SIZE))
    assert record.epochs[0]["rank_me"] == pytest.approx(rank_me(teacher), rel=1e-4)
    assert rank_me(student) != pytest.approx(rank_me(teacher), rel=1e-4)
    with pytest.raises(BraddError, match=r"no part called 'student'; it has backbone, method"):
        fit(Module(), health(encoder_name="student"))


class Collapsing(Module):
    """Maps everything to nearly one direction in the epochs named."""

    def __init__(self, epochs: set[int]) -> None:
        super().__init__()
        self.collapsed = epochs

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.backbone.parameters(), lr=0.0)

    def on_train_epoch_start(self) -> None:
        self.backbone.mix.bias.data.fill_(1e5 if self.current_epoch in self.collapsed else 0.0)


def test_a_run_that_has_collapsed_stops_at_the_second_check() -> None:
    record = Record()
    with pytest.raises(BraddError, match=r"collapsed.* epoch 3 \(step 8\)") as caught:
        fit(Collapsing({0, 2, 3, 4}), health(), record, epochs=6)
    assert [metrics["epoch"] for metrics in record.epochs] == [0, 1, 2]
    below = [metrics["feature_std"] < COLLAPSED for metrics in record.epochs]
    assert below == [True, False, True]
    for remedy in ("learning_rate", "warmup_epochs", "batch_size", "temperature"):
        assert remedy in str(caught.value)


def test_a_resumed_run_remembers_the_check_before(tmp_path: Any) -> None:
    trainer = fit(Collapsing({0, 1}), health(), epochs=1)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    with pytest.raises(BraddError, match=r"collapsed.* epoch 1 "):
        fit(Collapsing({0, 1}), health(), epochs=4, checkpoint=tmp_path / "last.ckpt")


def test_embeddings_that_are_not_finite_stop_the_run_at_once() -> None:
    module = Module()
    module.backbone.mix.weight.data[0, 0] = torch.nan
    with pytest.raises(
        BraddError, match=r"of 12 of 12 images are NaN .* epoch 0 \(step 2\).*32-tr"
    ):
        fit(module, health())


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224"])
def test_a_new_backbone_is_not_taken_for_a_collapsed_one(name: str) -> None:
    """Even of pictures without colour and with hardly any contrast."""
    kwargs: dict[str, Any] = {"channels": [8, 16, 32, 64]} if name == "resnet18" else {"depth": 2}
    images = CountingImages(16)
    images.arrays = 100 + images.arrays[..., :1].repeat(3, axis=3) // 4
    for seed in range(2):
        torch.manual_seed(seed)
        backbone = create_backbone(Backbone.choose(name, SIZE, kwargs))
        record = Record()
        fit(Module(backbone), health(images), record, epochs=3)
        assert min(metrics["feature_std"] for metrics in record.epochs) > 2 * COLLAPSED


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"every_n_epochs": 0}, "every_n_epochs is 0"),
        ({"sample": 1}, "sample is 1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"images": CountingImages(1)}, "number of images is 1"),
        ({"views": SimCLRViews(count=1)}, "two views"),
        ({"reference": labelled(3)}, "both reference and test"),
        ({"test": labelled(3)}, "both reference and test"),
    ],
)
def test_settings_out_of_range_are_named(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(BraddError, match=says):
        health(**wrong)


def test_classes_that_differ_are_said() -> None:
    other = LabelledImages(labelled(3).images, labelled(3).labels, ["r", "g", "x"])
    with pytest.raises(BraddError, match="classes"):
        health(reference=labelled(3), test=other)


@settings(max_examples=30)
@given(st.lists(st.integers(0, 3), min_size=5, max_size=60), st.integers(2, 40))
def test_a_stratified_sample_has_each_classs_share(classes: list[int], most: int) -> None:
    labels = np.array(classes, np.int64)
    names = [str(number) for number in range(len(labels))]
    arrays = np.arange(len(labels), dtype=np.uint8)[:, None, None].repeat(2, 1).repeat(2, 2)
    everything = LabelledImages(ArrayImages(arrays, names), labels, ["a", "b", "c", "d"])
    sample = stratified_sample(everything, most, seed=0)
    taken = [int(sample.images.name(index)) for index in range(len(sample.images))]
    assert len(taken) == min(most, len(labels))
    assert taken == sorted(set(taken))
    assert sample.labels.tolist() == labels[taken].tolist()
    share = len(taken) / len(labels)
    for label in range(4):
        assert abs((sample.labels == label).sum() - share * (labels == label).sum()) <= 2
    again = stratified_sample(everything, most, seed=0)
    assert again.labels.tolist() == sample.labels.tolist()
