from __future__ import annotations

import dataclasses
import math
import subprocess
import sys

import jsonargparse
import pytest

from bradd.errors import BraddError
from bradd.views import DINOViews, MoCoV3Views, SimCLRViews, Views

METHODS = (SimCLRViews, MoCoV3Views, DINOViews)
FIELDS = [(method, field.name) for method in METHODS for field in dataclasses.fields(method)]


def test_simclr_views_are_all_alike() -> None:
    recipes = SimCLRViews(count=3, blur=0.3).recipes(48)
    assert len(recipes) == 3
    assert recipes[0] == recipes[1] == recipes[2]
    assert (recipes[0].size, recipes[0].blur, recipes[0].solarise) == (48, 0.3, 0)


def test_moco_views_differ_in_blur_and_solarisation_alone() -> None:
    """Table 6 of Grill et al. (2020), with the jitter of Chen et al. (2021)."""
    first, second = MoCoV3Views().recipes(224)
    assert (first.blur, first.solarise) == (1.0, 0.0)
    assert (second.blur, second.solarise) == (0.1, 0.2)
    assert dataclasses.replace(second, blur=1.0, solarise=0.0) == first
    assert (first.brightness, first.contrast, first.saturation, first.hue) == (0.4, 0.4, 0.2, 0.1)
    assert (first.minimum_scale, first.maximum_scale) == (0.08, 1.0)
    assert (first.jitter, first.grey, first.flip) == (0.8, 0.2, 0.5)


def test_dino_views_are_two_global_and_eight_local_ones() -> None:
    """The defaults of Caron et al. (2021)."""
    first, second, *local = DINOViews().recipes(224)
    assert [first.size, second.size] == [224, 224]
    assert (first.blur, first.solarise) == (1.0, 0.0)
    assert (second.blur, second.solarise) == (0.1, 0.2)
    assert (first.minimum_scale, first.maximum_scale) == (0.4, 1.0)
    assert len(local) == 8
    assert set(local) == {local[0]}
    assert (local[0].size, local[0].blur, local[0].solarise) == (96, 0.5, 0.0)
    assert (local[0].minimum_scale, local[0].maximum_scale) == (0.05, 0.4)
    assert (first.brightness, first.contrast, first.saturation, first.hue) == (0.4, 0.4, 0.2, 0.1)
    assert len(DINOViews(local_count=0).recipes(224)) == 2
    assert DINOViews(local_side=0.5).recipes(64)[2].size == 32


@pytest.mark.parametrize("method", METHODS)
def test_large_images_have_the_defaults(method: type[Views]) -> None:
    assert method.for_image_size(65) == method.for_image_size(224) == method()


def test_small_images_have_no_blur_larger_crops_and_no_tiny_views() -> None:
    expected = SimCLRViews(minimum_scale=0.2, blur=0)
    assert SimCLRViews.for_image_size(32) == SimCLRViews.for_image_size(64) == expected
    for method in METHODS:
        for size in (8, 32, 64):
            assert all(recipe.blur == 0 for recipe in method.for_image_size(size).recipes(size))
    assert MoCoV3Views.for_image_size(64).minimum_scale == 0.2
    for size in (16, 28, 32, 64):
        small = DINOViews.for_image_size(size)
        assert small.local_count == 0
        assert dataclasses.replace(small, local_count=1).recipes(size)[2].size >= 16


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((name, value) for name in ("flip", "jitter", "grey", "blur") for value in (-0.1, 1.1)),
        *((name, -1.0) for name in ("brightness", "contrast", "saturation")),
        *((name, math.inf) for name in ("brightness", "contrast", "saturation")),
        *(("hue", value) for value in (-0.1, 0.6)),
        *(("minimum_scale", value) for value in (0.0, -0.1, 1.1)),
        *(("maximum_scale", value) for value in (0.0, 1.1)),
        *(("minimum_aspect_ratio", value) for value in (0.0, 2.0)),
        *(("maximum_aspect_ratio", value) for value in (0.0, math.inf)),
        *(("minimum_blur_sigma", value) for value in (0.0, 3.0)),
        *(("maximum_blur_sigma", value) for value in (0.0, math.inf)),
        ("count", 0),
    ],
)
def test_a_wrong_number_is_refused_by_its_name(field: str, value: float) -> None:
    with pytest.raises(BraddError, match=f"views: {field} is {value}"):
        SimCLRViews(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((name, -0.1) for name in ("first_blur", "second_blur", "second_solarise", "local_blur")),
        *((name, 1.1) for name in ("first_blur", "second_blur", "second_solarise", "local_blur")),
        ("local_count", -1),
        *(("local_side", value) for value in (0.0, 1.1)),
        *(("minimum_local_scale", value) for value in (0.0, 0.5)),
        *(("maximum_local_scale", value) for value in (0.0, 1.1)),
    ],
)
def test_a_wrong_number_of_the_other_methods_is_refused_too(field: str, value: float) -> None:
    for method in (MoCoV3Views, DINOViews):
        if field in method.__dataclass_fields__:
            with pytest.raises(BraddError, match=f"views: {field} is {value}"):
                method(**{field: value})


@pytest.mark.parametrize(("method", "field"), FIELDS)
def test_not_a_number_is_refused(method: type[Views], field: str) -> None:
    with pytest.raises(BraddError, match=f"views: {field} is nan"):
        method(**{field: math.nan})


def test_jsonargparse_builds_any_method_by_its_name() -> None:
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--views", type=Views, default=None)

    def parse(*arguments: str) -> Views:
        views: Views = parser.instantiate_classes(parser.parse_args(list(arguments))).views
        return views

    assert parse("--views=SimCLRViews", "--views.hue=0.2") == SimCLRViews(hue=0.2)
    assert parse("--views=DINOViews", "--views.local_count=3") == DINOViews(local_count=3)
    given = '{"class_path": "MoCoV3Views", "init_args": {"first_blur": 0.5}}'
    assert parse(f"--views={given}") == MoCoV3Views(first_blur=0.5)


def test_the_specification_does_not_import_torch() -> None:
    code = "import sys, bradd.views; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
