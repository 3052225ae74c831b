import contextlib
import os
import pty
import signal
import subprocess
import sys
from dataclasses import dataclass
from io import StringIO

import pytest
import torch
from small_study import SMALL

from toroids.cli import main
from toroids.params import load_params, save_params
from toroids.study.store import read_rows
from toroids.symmetry.group import SymmetryGroup

TOROIDS = [sys.executable, "-c", "from toroids.cli import main; main()"]


@dataclass
class Result:
    returncode: int
    stdout: str
    stderr: str


def toroids(*arguments, cwd):
    """Runs a command in this process, which saves the start of another."""
    out, err, code, loaded = StringIO(), StringIO(), 0, set(sys.modules)
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.setattr(sys, "argv", ["toroids", *map(str, arguments)])
        patch.syspath_prepend(cwd)
        try:
            main()
        except SystemExit as left:
            code = left.code or 0
    for name in set(sys.modules) - loaded:  # a module of the same name elsewhere is another one
        if str(cwd) in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]
    return Result(code, out.getvalue(), err.getvalue())


def toml(value):
    if isinstance(value, dict):
        inner = ", ".join(f'"{k}" = {toml(v)}' for k, v in value.items())
        return "{" + inner + "}"
    return str(value).replace("'", '"') if not isinstance(value, str) else f'"{value}"'


@pytest.fixture
def study_file(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text("\n".join(f"{key} = {toml(value)}" for key, value in SMALL.items()))
    return path


def test_a_study_ends_with_its_report(study_file, tmp_path):
    done = toroids("study", study_file, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "report: runs/small/report.html"
    assert lines[0].startswith("[1/21] sgd-0: ")
    assert "\x1b" not in done.stdout  # piped: plain lines
    assert (tmp_path / "runs" / "small" / "report.html").stat().st_size > 1_000_000

    again = toroids("report", tmp_path / "runs" / "small", cwd=tmp_path)
    assert again.returncode == 0, again.stderr


def test_a_bar_is_drawn_for_a_person(study_file, tmp_path):
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(
        [*TOROIDS, "study", str(study_file)], cwd=tmp_path, stdout=theirs, env=environment
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # Linux reports the closed terminal as an error
        pass
    assert process.wait(timeout=120) == 0
    assert b"21/21" in shown
    assert b"\x1b[" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["study", "gone.toml"], "toroids: there is no study file `gone.toml`"),
        (["study"], "toroids: there is no study file `studies/digits.toml`"),
        (["report", "gone"], "toroids: `gone` holds no measurements.jsonl"),
        (["study", "gone.toml", "--out", "/"], "toroids: there is no study file `gone.toml`"),
    ],
)
def test_mistakes_get_one_sentence_and_exit_code_2(arguments, message, tmp_path):
    done = toroids(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("line", ["colour = 1", "seeds = 3", "[data]\ntrain = 'all'"])
def test_wrong_study_files_get_exit_code_2(study_file, tmp_path, line):
    key = line.split(" =")[0].strip("[]").split("\n")[0].strip("]")
    kept = [text for text in study_file.read_text().splitlines() if not text.startswith(key)]
    study_file.write_text("\n".join([*kept, line]))
    done = toroids("study", study_file, cwd=tmp_path)
    assert done.returncode == 2
    assert f"`{key}" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("moment", [1, 8])
def test_ctrl_c_leaves_no_half_written_file(study_file, tmp_path, moment):
    """Interrupted after some task: exit code 130, whole rows and weights, nothing published."""
    process = subprocess.Popen(
        [*TOROIDS, "study", str(study_file)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for _ in range(moment):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=120)
    if process.returncode == 0:
        pytest.fail("the study was over before it could be interrupted")
    assert process.returncode == 130
    assert "Traceback" not in error
    assert "interrupted; `runs/small` is as it was before" in error
    runs = tmp_path / "runs"
    assert not (runs / "small").exists()
    rows = read_rows(runs / ".small.partial")
    stored = list((runs / ".small.partial" / "networks").iterdir())
    named = {row["name"] for row in rows if row["kind"] == "network"}
    assert len(named) >= min(moment, 6)
    assert named <= {path.stem for path in stored}
    assert all("output.bias" in load_params(path) for path in stored)  # whole files only

    finished = toroids("study", study_file, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert not (runs / ".small.partial").exists()


def test_version(tmp_path):
    assert toroids("--version", cwd=tmp_path).stdout.startswith("toroids 0.")


def test_a_place_that_cannot_be_written_gets_one_sentence(study_file, tmp_path):
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file" / "run", tmp_path / "file", "/", tmp_path / ("x" * 300)):
        done = toroids("study", study_file, "--out", out, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr.startswith("toroids: ")
        assert done.stderr.count("\n") == 1
    assert (tmp_path / "file").read_text() == "mine"


def test_a_reader_that_goes_away_does_not_end_the_study(study_file, tmp_path):
    process = subprocess.Popen(
        [*TOROIDS, "study", str(study_file)], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=120) == 0
    assert (tmp_path / "runs" / "small" / "report.html").exists()


def test_symmetries_prints_what_is_found_and_proven(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n\n"
        "def build():\n    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))\n"
    )
    done = toroids(
        "symmetries", "mine:build", "--input", "5,3", "--output", "classifier", "--json", "g.json",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "permute, rescale" in done.stdout
    assert "proven: outputs change by at most" in done.stdout
    group = SymmetryGroup.from_json((tmp_path / "g.json").read_text())
    assert [(space.size, group.output.mode) for space in group.spaces] == [(4, "classifier")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing", "--input", "1,3"), "names no model"),
        (("torch.nn:Identity", "--input", "x"), "write sizes as"),
        (("torch.nn:Identity", "--input", "1,3", "--output", "none"), "no output mode"),
        (("torch.nn:Identity", "--input", "1,3", "--input", "y=1,3"), "name all of them or none"),
        (("torch.nn:Identity", "--input", "y=1,3"), "cannot be traced"),
    ],
)
def test_symmetries_refuses_in_one_sentence(tmp_path, arguments, message):
    done = toroids("symmetries", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_canonicalize_writes_the_same_function(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom torch import nn\n\n"
        "def build():\n    torch.manual_seed(0)\n"
        "    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))\n"
    )
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    save_params(model.state_dict(), tmp_path / "w.safetensors")
    arguments = ("w.safetensors", "--model", "mine:build", "--input", "5,3", "--out")
    done = toroids("canonicalize", *arguments, "c.safetensors", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "3 of 4 tensors changed" in done.stdout
    canonical = load_params(tmp_path / "c.safetensors")
    inputs = torch.randn(5, 3)
    expected = model(inputs)
    model.load_state_dict(canonical)
    assert torch.allclose(model(inputs), expected, atol=1e-5)
    rows = torch.cat([canonical["0.weight"], canonical["0.bias"][:, None]], dim=1)
    assert torch.allclose(rows.norm(dim=1), torch.ones(4))
    refused = toroids("canonicalize", *arguments, "x", "--batch-norm", "round", cwd=tmp_path)
    assert refused.returncode == 2
    assert "there is no batch_norm='round'" in refused.stderr
    assert not (tmp_path / "x").exists()


def test_align_moves_a_network_and_says_how_far(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom torch import nn\n\n"
        "def build():\n    return nn.Sequential(nn.Linear(3, 9), nn.ReLU(), nn.Linear(9, 2))\n"
    )
    torch.manual_seed(0)
    models = [
        torch.nn.Sequential(torch.nn.Linear(3, 9), torch.nn.ReLU(), torch.nn.Linear(9, 2))
        for _ in range(2)
    ]
    for name, model in zip("ab", models, strict=True):
        save_params(model.state_dict(), tmp_path / f"{name}.safetensors")
    common = ("--model", "mine:build", "--input", "5,3", "--out")
    files = ("b.safetensors", "a.safetensors")
    inputs = torch.randn(5, 3)
    expected = models[1](inputs)
    for out, extra in (("c.safetensors", ()), ("r.safetensors", ("--raw", "--method", "best"))):
        done = toroids("align", *files, *common, out, *extra, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        before, after = (float(lines[0].split()[i]) for i in (1, 3))
        similarities = [
            float(word) for word in lines[1].replace(";", "").split()[1::2] if "." in word
        ]
        assert after < before
        assert similarities[0] < similarities[1] <= float(lines[1].split()[-1])
        models[1].load_state_dict(load_params(tmp_path / out))
        assert torch.allclose(models[1](inputs), expected, atol=1e-5)
    raw, own = load_params(tmp_path / "r.safetensors"), load_params(tmp_path / "b.safetensors")
    assert torch.equal(raw["0.weight"].sort(dim=0).values, own["0.weight"].sort(dim=0).values)
    for out, method, message in (
        ("b.safetensors", "descent", "b.safetensors"),
        ("d.safetensors", "magic", "there is no method 'magic'"),
    ):
        refused = toroids("align", *files, *common, out, "--method", method, cwd=tmp_path)
        assert refused.returncode == 2
        assert message in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
    again = load_params(tmp_path / "b.safetensors")
    assert all(torch.equal(again[name], own[name]) for name in own)


def test_align_reads_and_writes_pretrained_folders(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        n_layer=1, n_head=2, n_embd=8, vocab_size=20, n_positions=16, bos_token_id=0, eos_token_id=0
    )
    torch.manual_seed(0)
    models = [transformers.GPT2LMHeadModel(config).eval() for _ in range(2)]
    for name, model in zip("ab", models, strict=True):
        model.save_pretrained(tmp_path / name, max_shard_size="3KB")
    arguments = ("align", "b", "a", "--model", "a", "--input", "input_ids=1,8", "--tokens", "20")
    done = toroids(*arguments, "--out", "c", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == sorted(
        p.name for p in (tmp_path / "b").iterdir()
    )
    moved = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "c").eval()
    tokens = torch.randint(0, 20, (2, 8))
    assert torch.allclose(moved(tokens).logits, models[1](tokens).logits, atol=1e-5)
    changed = moved.transformer.h[0].mlp.c_fc.weight != models[1].transformer.h[0].mlp.c_fc.weight
    assert changed.float().mean() > 0.5
    refused = toroids(*arguments, "--out", "c", cwd=tmp_path)
    assert refused.returncode == 2
    assert "exists and is not empty; name a new one" in refused.stderr
