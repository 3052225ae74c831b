"""Sentences in the shell speak of its options, and every option is refused in one of them."""

import pytest
import torch
from cli.commands import COMMANDS, MODEL, arguments, fill, run
from files.strange import at_once

import toroids as td
from toroids.cli.app import load_command
from toroids.cli.wording import in_shell
from toroids.errors import ArgumentError, ToroidsError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wording")
    fill(folder)
    return folder


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        (ArgumentError("points", "0", "pass 2"), "--points is 0; pass 2."),
        ("batch_size is 0; pass 1.", "--batch-size is 0; pass 1."),
        ("there is no output_key='x'", "there is no --output-key 'x'"),
        ("the data is short of points", "the data is short of points"),
        ("my_batch_size is mine", "my_batch_size is mine"),
        ("the file holds `data` and `out`", "the file holds `data` and `out`"),
    ],
)
def test_names_of_arguments_become_options(sentence, said, monkeypatch):
    monkeypatch.setattr("sys.argv", ["toroids", "profile", "a", "b"])
    error = sentence if isinstance(sentence, Exception) else ToroidsError(sentence)
    assert in_shell(error) == said
    monkeypatch.setattr("sys.argv", ["toroids", "--wrong"])
    assert in_shell(error) == str(error)


@pytest.mark.parametrize(
    ("command", "option", "value", "said"),
    [
        ("profile", "--batch-size", "0", "--batch-size is 0; pass a whole number, at least 1"),
        ("profile", "--points", "99999999999", "--points is 99999999999; pass a whole number up"),
        ("section", "--resolution", "10001", "--resolution is 10001; pass a whole number up to"),
        ("flatness", "--samples", "10000000", "--samples is 10000000; pass a whole number up"),
        ("align", "--budget", "-1", "the budget is -1"),
        ("canonicalize", "--batch-norm", "x", "there is no --batch-norm 'x'"),
        ("align", "--input", "99999999,99999999", "has more than 10,000,000 entries"),
        ("align", "--input", "9" * 9000, "has more than 10,000,000 entries"),
        ("symmetries", "--tokens", "9" * 30, "pass the size of the vocabulary"),
    ],
)
def test_what_is_said(folder, command, option, value, said, capsys):
    words = [word for word in arguments(command, "new") if option != "--input" or word != "2,3"]
    words = [word for word in words if option != "--input" or word != "--input"]
    assert run(folder, *words, option, value) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_weights_that_the_model_does_not_have(folder, capsys):
    params = td.load_params(folder / "a.safetensors")
    td.save_params({**params, "head": torch.ones(2)}, folder / "more.safetensors")
    assert run(folder, "align", "more.safetensors", "a.safetensors", *MODEL, "--out", "n") == 2
    assert "keep them as they are with --keep-unused" in capsys.readouterr().err


PATHS = ("json", "out", "picture", "scratch", "model", "inputs", "force", "data", "train", "tokens")
WRONG = ("", "0", "-1", "nan", "no such", "9" * 25)
CASES = [
    pytest.param(command, parameter, id=f"{command}-{parameter.name}")
    for command in COMMANDS
    for parameter in load_command(command).params
    if next(iter(parameter.opts)).startswith("--") and parameter.name not in (*PATHS, "help")
]


@pytest.mark.parametrize(("command", "parameter"), CASES)
def test_every_option_with_something_of_every_wrong_kind(folder, command, parameter, capsys):
    option = next(iter(parameter.opts))
    for value in WRONG[:-1] if parameter.name == "budget" else WRONG:  # it would be used up
        with at_once(40):
            code = run(folder, *arguments(command, "out"), "--force", option, value)
        error = capsys.readouterr().err
        assert code in (0, 2), value
        assert "Traceback" not in error
        assert (code == 0) == (not error) and error.count("\n") <= 5, value  # with usage


STUDIES = [
    pytest.param(command, parameter, id=f"{command}-{parameter.name}")
    for command in ("study", "list", "show", "report", "export", "explore")
    for parameter in load_command(command).params
    if parameter.name not in ("help", "open_browser", "force", "dry_run", "out")
]


@pytest.mark.parametrize(("command", "parameter"), STUDIES)
def test_commands_on_studies_with_something_of_every_wrong_kind(
    tmp_path, command, parameter, capsys
):
    option = next(iter(parameter.opts))
    for value in WRONG:
        words = [option, value, "--", "gone"] if option.startswith("--") else [value]
        with at_once(40):
            code = run(tmp_path, command, *words)
        error = capsys.readouterr().err
        assert code == 2 or (command == "list" and code == 0), value
        assert "Traceback" not in error
        assert error.count("\n") <= 5
