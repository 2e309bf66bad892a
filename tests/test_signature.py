"""Command lines and YAML files as settings, and one short sentence for each mistake."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bradd import (
    DINOViews,
    Duplicate,
    KNNDistance,
    MoCoV3,
    MoCoV3Views,
    SimCLR,
    SimCLRViews,
    Uniform,
)
from bradd.commands.balance import balance
from bradd.commands.evaluate import evaluate
from bradd.commands.pretrain import pretrain
from bradd.commands.report import report
from bradd.errors import BraddError
from bradd.signature import checked, command_parser, parse

SETTINGS = sorted(
    action.dest
    for action in command_parser(pretrain)._actions
    if action.dest not in ("help", "config", "print_config") and "." not in action.dest
)


def given_by(*arguments: str) -> dict[str, Any]:
    """What the command line sets, without what it leaves open."""
    return {k: v for k, v in parse(pretrain, list(arguments)).items() if v not in (None, False)}


def mistake(*arguments: str) -> str:
    with pytest.raises(BraddError) as caught:
        parse(pretrain, list(arguments))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def config(tmp_path: Path) -> Any:
    def write(text: str) -> str:
        path = tmp_path / "settings.yaml"
        path.write_text(text)
        return f"--config={path}"

    return write


def test_plain_values_have_the_types_of_the_signature() -> None:
    found = given_by(
        "--data", "photos", "--cycles=3", "--learning_rate", "1e-3", "--guard", "true",
        "--backbone_kwargs", '{"channels": [4, 8]}', "--preset", "paper",
    )  # fmt: skip
    assert found == {
        "data": "photos",
        "cycles": 3,
        "learning_rate": 0.001,
        "guard": True,
        "backbone_kwargs": {"channels": [4, 8]},
        "preset": "paper",
    }
    assert type(found["cycles"]) is int


def test_a_value_at_the_start_is_the_first_argument_or_a_file_of_settings(tmp_path: Path) -> None:
    assert given_by("photos", "--cycles=3") == {"data": "photos", "cycles": 3}
    plan = tmp_path / "plan.yaml"
    plan.write_text("cycles: 3\nseed: 1\n")
    assert given_by(str(plan), "--seed=2") == {"cycles": 3, "seed": 2}
    assert (
        mistake("none.yaml")
        == "The settings in none.yaml cannot be read: No such file or directory."
    )


def test_a_switch_needs_no_value() -> None:
    assert given_by("--resume") == {"resume": True}
    assert given_by("--overwrite", "--out=x") == {"overwrite": True, "out": "x"}
    assert given_by("--overwrite", "false") == {}


def test_hyphens_in_names_are_underscores_and_values_stay() -> None:
    assert parse(balance, ["--dry-run", "--out", "a-b"])["dry_run"] is True
    assert given_by("--n-anchors", "3", "--out=a-b/--c", "--learning-rate=1e-3") == {
        "n_anchors": 3,
        "out": "a-b/--c",
        "learning_rate": 0.001,
    }
    found = given_by("--selector=knn-distance", "--selector.k=7", "--generator.batch-size", "9")
    assert found["selector"].k == 7
    assert found["generator"].batch_size == 9
    message = "bradd pretrain has no setting 'n_anchor'. Did you mean 'n_anchors'?"
    assert mistake("--n-anchor=3") == message


@pytest.mark.parametrize("name", ["Uniform", "uniform", "UNIFORM", "bradd.Uniform"])
def test_components_go_by_their_names_in_any_case(name: str) -> None:
    assert isinstance(given_by("--selector", name)["selector"], Uniform)


@pytest.mark.parametrize("name", ["knn-distance", "knn_distance", "KNNDistance"])
def test_a_component_and_its_setting_in_either_order(name: str) -> None:
    for arguments in (
        (f"--selector={name}", "--selector.k=7"),
        ("--selector.k", "7", "--selector", name),
    ):
        selector = given_by(*arguments)["selector"]
        assert isinstance(selector, KNNDistance)
        assert selector.k == 7


def test_a_setting_alone_is_of_the_default_component() -> None:
    found = given_by("--selector.draws=9", "--method.temperature=0.1", "--generator.steps=7")
    assert found["selector"].draws == 9
    assert found["method"].temperature == 0.1
    assert found["generator"].steps == 7
    assert given_by("--views.blur=0.3")["views"] == SimCLRViews(blur=0.3)


def test_views_that_stand_alone_are_the_methods_own(config: Any) -> None:
    found = given_by("--method=mocov3", "--views.hue=0.3")
    assert (type(found["method"]), found["views"]) == (MoCoV3, MoCoV3Views(hue=0.3))
    for method in ("DINO", "bradd.ssl.DINO", "{class_path: bradd.ssl.DINO}"):
        file = config(f"method: {method}\n")
        assert given_by(file, "--views.hue=0.3")["views"] == DINOViews(hue=0.3)
        over = given_by(file, "--method=bradd.ssl.MoCoV3", "--views.hue=0.3")
        assert over["views"] == MoCoV3Views(hue=0.3)
    named = given_by("--method=dino", "--views=simclrviews", "--views.hue=0.3")
    assert named["views"] == SimCLRViews(hue=0.3)


def test_the_command_line_goes_before_the_file(config: Any) -> None:
    file = config("cycles: 2\nseed: 5\nselector: {class_path: KNNDistance, init_args: {k: 4}}\n")
    for arguments in ((file, "--cycles=3"), ("--cycles=3", file)):
        found = given_by(*arguments)
        assert (found["cycles"], found["seed"], found["selector"].k) == (3, 5, 4)
    for arguments in ((file, "--selector.k=6"), ("--selector.k=6", file)):
        assert given_by(*arguments)["selector"].k == 6
    for arguments in ((file, "--selector=uniform"), ("--selector=uniform", file)):
        assert isinstance(given_by(*arguments)["selector"], Uniform)


def test_a_components_setting_beside_a_file_without_it(config: Any) -> None:
    assert given_by(config("cycles: 2\n"), "--selector.draws=6")["selector"].draws == 6


def test_what_a_file_holds_is_kept_for_a_component_of_another_class(config: Any) -> None:
    file = config("generator: {class_path: Duplicate}\n")
    assert isinstance(given_by(file)["generator"], Duplicate)
    assert "generator has no setting 'steps'" in mistake(file, "--generator.steps=3")


def test_printed_settings_can_be_read_again(
    config: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--cycles=3", "--selector.draws=6", "--views.blur=0.25", "--data=photos"]
    with pytest.raises(SystemExit) as ended:
        parse(pretrain, [*arguments, "--print_config"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert yaml.safe_load(printed)["cycles"] == 3
    found = given_by(config(printed))
    assert found["selector"].draws == 6
    assert found["views"] == SimCLRViews(blur=0.25)
    assert (found["cycles"], found["data"]) == (3, "photos")


# Mistakes.

UNKNOWN = [
    ("cyclez", "bradd pretrain has no setting 'cyclez'. Did you mean 'cycles'?"),
    ("batchsize", "bradd pretrain has no setting 'batchsize'. Did you mean 'batch_size'?"),
    ("selector.drws", "selector has no setting 'drws'. Did you mean 'draws'?"),
    ("method.temprature", "method has no setting 'temprature'. Did you mean 'temperature'?"),
    ("views.blurr", "views has no setting 'blurr'. Did you mean 'blur'?"),
    ("generator.step", "generator has no setting 'step'. Did you mean 'steps'?"),
    ("data.x", "data has no setting 'x'."),
    ("qqqqqq", "bradd pretrain has no setting 'qqqqqq'."),
]


@pytest.mark.parametrize(("name", "message"), UNKNOWN)
def test_unknown_names_on_the_command_line(name: str, message: str) -> None:
    assert mistake(f"--{name}=3") == message
    assert mistake("--cycles=3", f"--{name}", "3") == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cyclez: 3", "bradd pretrain has no setting 'cyclez'. Did you mean 'cycles'?"),
        (
            "selector: {class_path: KNNDistance, init_args: {kk: 3}}",
            "selector has no setting 'kk'. Did you mean 'k'?",
        ),
        (
            "views: {class_path: SimCLRViews, init_args: {blurr: 0.3}}",
            "views has no setting 'blurr'. Did you mean 'blur'?",
        ),
        ("cycles: three", "cycles is 'three': expected int."),
        (
            "selector: {class_path: KNNDistance, init_args: {k: x}}",
            "selector.k is 'x': expected int.",
        ),
        ("selector: uniform", "selector: write 'Uniform', not 'uniform'."),
        (
            "selector: {k: 3}",
            "selector has settings but no name. Give both: {class_path: Rare, init_args: {...}}.",
        ),
    ],
)
def test_mistakes_in_a_file(text: str, message: str, config: Any) -> None:
    assert mistake(config(text)) == message


@pytest.mark.parametrize(
    ("text", "message"), [("a: [\n", "cannot be read"), ("- 1\n", "holds no settings"), ("", "no")]
)
def test_a_file_that_is_no_settings_is_named(text: str, message: str, config: Any) -> None:
    file = config(text)
    assert message in mistake(file)
    assert file.removeprefix("--config=") in mistake(file)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path}/none.yaml cannot be read: No such file" in mistake(
        "--config", f"{tmp_path}/none.yaml"
    )
    assert f"{tmp_path} cannot be read: Is a directory" in mistake("--config", str(tmp_path))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    assert f"{tmp_path}/binary cannot be read" in mistake("--config", f"{tmp_path}/binary")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cycles=x"], "cycles is 'x': expected int."),
        (["--cycles=2.5"], "cycles is '2.5': expected int."),
        (["--learning_rate=fast"], "learning_rate is 'fast': expected float."),
        (["--guard=maybe"], "guard is 'maybe': expected bool."),
        (["--resume=maybe"], "resume is 'maybe': expected bool."),
        (
            ["--preset=papre"],
            "preset is 'papre': expected one of 'recommended', 'paper'. Did you mean 'paper'?",
        ),
        (
            ["--selector=bradd.select.KNNDistanc"],
            "selector: module 'bradd.select' has no attribute 'KNNDistanc'. Did you mean "
            "'KNNDistance'?",
        ),
        (["--backbone_kwargs=3"], "backbone_kwargs is '3': expected dict."),
        (["--selector.draws=x"], "selector.draws is 'x': expected int."),
        (["--views.blur=x"], "views.blur is 'x': expected float."),
        (["--generator.channels=[8,x]"], "generator.channels is 'x': expected int."),
        (["--selector.draws=0"], "selector.draws is 0: it must be at least 1."),
        (["--views.blur=2"], "views: blur is 2.0; it must be a probability, 0 to 1"),
        (["--cycles"], "bradd pretrain: argument --cycles: expected one argument."),
        (["--cycles=2", "photos"], "bradd pretrain has no setting 'photos'."),
        (["--selector=nowhere.Class"], "selector: No module named 'nowhere'."),
    ],
)
def test_wrong_values_are_named(arguments: list[str], message: str) -> None:
    assert mistake(*arguments) == message


def test_a_class_of_another_kind_is_refused() -> None:
    message = mistake("--selector=bradd.Duplicate")
    assert message.startswith("selector: ")
    assert "bradd.Duplicate does not correspond to a subclass of Selector" in message


@pytest.mark.parametrize("option", ["--selector", "--selector.help"])
def test_an_unknown_component_is_suggested_the_nearest(option: str) -> None:
    message = mistake(f"{option}=KNNDistanc")
    assert "no selector 'KNNDistanc'. Did you mean KNNDistance?" in message
    assert "Uniform" in message


@given(st.data())
def test_any_misspelt_setting_is_suggested_the_nearest(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([name for name in SETTINGS if len(name) > 5]))
    place = data.draw(st.integers(1, len(name) - 1))
    misspelt = name[:place] + name[place + 1 :]
    if misspelt in SETTINGS:
        return
    names = [*SETTINGS, "config"]
    nearest = difflib.get_close_matches(misspelt, sorted(names), n=1)[0]
    message = mistake(f"--{misspelt}=1")
    assert message.startswith(f"bradd pretrain has no setting {misspelt!r}.")
    assert message.endswith(f"Did you mean {nearest!r}?")


def test_every_command_has_a_parser() -> None:
    assert parse(report, ["--run=a"]) == {"run": "a", "picture": None}
    assert parse(evaluate, ["--run=a,b"])["run"] == "a,b"
    with pytest.raises(BraddError, match=r"^bradd evaluate has no setting 'rum'"):
        parse(evaluate, ["--rum=a"])


# From Python.


def test_checked_keeps_what_is_right() -> None:
    method, selector = SimCLR(), KNNDistance(3)
    settings = {"method": method, "selector": selector, "cycles": 3, "data": Path("photos")}
    found = checked(pretrain, settings)
    assert found == settings
    assert found["method"] is method
    assert found["selector"] is selector


def test_checked_builds_components_from_plain_values() -> None:
    found = checked(
        pretrain,
        {
            "selector": {"class_path": "bradd.KNNDistance", "init_args": {"k": 3}},
            "generator": "Duplicate",
            "views": {"class_path": "SimCLRViews", "init_args": {"blur": 0.25}},
        },
    )
    assert found["selector"].k == 3
    assert isinstance(found["generator"], Duplicate)
    assert found["views"] == SimCLRViews(blur=0.25)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cycles": "x"}, "cycles is 'x': expected int."),
        ({"cycles": True}, "cycles is 'True': expected int."),
        ({"cyclez": 3}, "bradd pretrain has no setting 'cyclez'. Did you mean 'cycles'?"),
        ({"selector": {"class_path": "bradd.KNNDistance", "init_args": {"k": 0}}}, "selector.k is"),
    ],
)
def test_checked_names_what_is_wrong(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BraddError) as caught:
        checked(pretrain, settings)
    assert str(caught.value).startswith(message)
