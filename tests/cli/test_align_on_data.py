"""`toroids align --data`: what joins networks trained apart looks at what they compute."""

import pytest
import torch
from cli.commands import DATA, MODEL, arguments, fill, run

import toroids as td


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    fill(folder)
    return folder


@pytest.mark.parametrize("method", ["activations", "loss", "best"])
def test_the_function_stays_and_the_middle_is_told(folder, method, capsys):
    words = [*arguments("align", "moved.safetensors"), *DATA, "--method", method, "--force"]
    assert run(folder, *words, "--budget", "0.5", "--output", "logits") == 0
    assert "\nmiddle      loss " in capsys.readouterr().out
    inputs = td.load_params(folder / "data.safetensors")["inputs"]
    before, after = (
        outputs(td.load_params(folder / f"{name}.safetensors"), inputs) for name in ("a", "moved")
    )
    # the canonical form of logits leaves what is the same for all classes
    assert torch.allclose(before.diff(dim=1), after.diff(dim=1), atol=1e-12)


def test_the_middle_of_classifiers_is_told_as_the_loss_has_it(folder, capsys):
    words = [*arguments("align", "middle.safetensors"), *DATA, "--method", "loss", "--force"]
    assert run(folder, *words, "--budget", "0.2", "--output", "classifier") == 0
    (line,) = (x for x in capsys.readouterr().out.splitlines() if x.startswith("middle"))
    before, after, _ = (float(word) for word in line.split() if word[0].isdigit())
    assert after <= before and ", outputs divided by " in line


def test_a_run_of_the_loss_goes_on(folder, capsys):
    words = [*arguments("align", "kept.safetensors"), *DATA, "--method", "loss", "--force"]
    written = []
    for _ in range(2):
        assert run(folder, *words, "--budget", "0.2", "--checkpoint", "kept.pt") == 0
        written.append((folder / "kept.safetensors").read_bytes())
    assert written[0] == written[1]  # the time was up


def outputs(params, inputs):
    hidden = torch.relu(inputs @ params["0.weight"].T + params["0.bias"])
    return hidden @ params["2.weight"].T + params["2.bias"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--method", "loss"), "the method 'loss' looks at data; pass --data."),
        (DATA, "the method 'descent' looks at no data; leave out --data"),
        ((*DATA, "--method", "loss", "--only", "0"), "--only and --data do not go together"),
        ((*DATA, "--method", "loss", "--metric", "x"), "there is no metric 'x'"),
        (("--checkpoint", "k"), "--checkpoint goes with --method loss alone; leave it out."),
        ((*DATA, "--method", "loss", "--checkpoint", "n"), "both `n`; name two files."),
        (
            (*DATA, "--method", "loss", "--checkpoint", "a.safetensors"),
            "`a.safetensors` is not a whole checkpoint",
        ),
        (("--method", "loss", "--data", "none"), "none"),
        (("--method", "loss", "--data", "."), "`.` cannot be read: it is a folder"),
    ],
)
def test_what_does_not_fit_is_one_sentence(folder, words, sentence, capsys):
    assert run(folder, "align", "a.safetensors", "b.safetensors", *MODEL, "--out", "n", *words) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.splitlines()) == 1
    assert not (folder / "n").exists()
