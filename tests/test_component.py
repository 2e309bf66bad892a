from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonargparse
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bradd.component import describe, settings_of
from bradd.errors import BraddError
from bradd.generate import Duplicate, Generator, RepresentationDiffusion
from bradd.select import Band, KNNDistance, Selector, Uniform
from bradd.ssl import SDCLR, Method, SimCLR


class Mine(Selector):
    """A user's own."""

    def __init__(self, share: float, names: tuple[str, ...] = ("a", "b"), mode: str | None = None):
        self.share = share
        self.names = names
        self.mode = mode

    def select(self, embeddings, n, seed, candidates=None):  # type: ignore[no-untyped-def]
        raise NotImplementedError


class MyMethod(Method):
    """A user's own, without settings."""

    def build(self, embedding_size: int) -> None:
        pass

    def loss(self, backbone, views):  # type: ignore[no-untyped-def]
        raise NotImplementedError


class Forgetful(Mine):
    """Keeps its argument under another name."""

    def __init__(self, power: int = 2) -> None:
        super().__init__(0.5)
        self._power = power


COMPONENTS: list[tuple[object, type, str]] = [
    (
        SDCLR(0.2, 0.5, 64),
        Method,
        "SDCLR(temperature=0.2, pruned=0.5, projection_size=64)",
    ),
    (KNNDistance(7), Selector, "KNNDistance(k=7)"),
    (Uniform(), Selector, "Uniform()"),
    (Duplicate(), Generator, "Duplicate()"),
    (
        RepresentationDiffusion(steps=3, channels=(8, 16), strength=0.5),
        Generator,
        "RepresentationDiffusion(steps=3, warm_steps=None, batch_size=64, learning_rate=0.004, "
        "average=0.995, channels=[8, 16], strength=0.5, warp=1.0, guidance=2.0, sampling_steps=10, "
        "condition_dropout=0.1, image_size=None, autoencoder=None, autoencoder_steps=1000)",
    ),
    (Mine(0.25, ("x",)), Selector, "Mine(share=0.25, names=['x'], mode=None)"),
    (MyMethod(), Method, "MyMethod()"),
]


def built(settings: dict[str, Any], base: type) -> object:
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--it", type=base)
    return parser.instantiate(parser.parse_object({"it": settings})).it


@pytest.mark.parametrize(("component", "base", "text"), COMPONENTS)
def test_settings_build_the_same_component(component: object, base: type, text: str) -> None:
    settings = settings_of(component)
    assert settings == json.loads(json.dumps(settings))
    again = built(yaml.safe_load(yaml.safe_dump(settings)), base)
    assert type(again) is type(component)
    assert settings_of(again) == settings
    for name, value in settings["init_args"].items():
        kept = getattr(again, name)
        assert kept == getattr(component, name)
        assert type(kept) is type(getattr(component, name)), (name, value)
    assert describe(component) == describe(again) == text


@given(st.integers(1, 10**6), st.floats(1e-6, 1e6))
def test_numbers_come_back_exactly(k: int, temperature: float) -> None:
    assert settings_of(KNNDistance(k))["init_args"] == {"k": k}
    again = built(json.loads(json.dumps(settings_of(SimCLR(temperature)))), Method)
    assert isinstance(again, SimCLR)
    assert again.temperature == temperature


def test_a_class_that_does_not_keep_an_argument_is_told_which() -> None:
    with pytest.raises(
        BraddError, match=r"Forgetful must keep its argument 'power' as self\.power"
    ):
        settings_of(Forgetful())


def test_a_class_can_be_found_by_its_path() -> None:
    assert settings_of(Uniform())["class_path"] == "bradd.select.uniform.Uniform"
    assert settings_of(Mine(1))["class_path"].endswith(f"{Path(__file__).stem}.Mine")


def test_a_component_may_hold_another() -> None:
    band = Band(KNNDistance(7), low=0.5)
    assert describe(band) == "Band(selector=KNNDistance(k=7), low=0.5, high=0.99)"
    parser = jsonargparse.ArgumentParser()
    parser.add_argument("--selector", type=Selector)
    parsed = parser.parse_object({"selector": settings_of(band)})
    again = parser.instantiate_classes(parsed).selector
    assert describe(again) == describe(band)
