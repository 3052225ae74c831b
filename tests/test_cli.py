import contextlib
import os
import pty
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from io import StringIO

import pytest
import torch
from small_study import SMALL, of_kind, without_times, write_toml

from toroids import models
from toroids.cli import main
from toroids.params import load_params, save_params
from toroids.study.rows import read_rows
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


@pytest.fixture
def study_file(tmp_path):
    path = tmp_path / "small.toml"
    write_toml(SMALL, path)
    return path


def begun(run, folder):
    """Puts the run, less some of its pairs, where the command makes and takes it up."""
    shutil.copytree(run, folder / "runs" / "small")
    for path in sorted((folder / "runs" / "small" / "results").glob("pair-*"))[:5]:
        path.unlink()
    (folder / "runs" / "small" / "report.html").unlink(missing_ok=True)


def test_a_study_ends_with_its_report(study_file, tmp_path):
    done = toroids("study", study_file, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "report: runs/small/report.html"
    assert lines[0].startswith("[1/28] mlp: symmetries proven to ")
    assert "\x1b" not in done.stdout  # piped: plain lines
    assert (tmp_path / "runs" / "small" / "report.html").stat().st_size > 1_000_000

    again = toroids("report", tmp_path / "runs" / "small", cwd=tmp_path)
    assert again.returncode == 0, again.stderr


def test_a_bar_is_drawn_for_a_person(study_file, tmp_path, run):
    begun(run, tmp_path)
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
    assert b"28/28" in shown
    assert b"\x1b[" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["study", "gone.toml"], "toroids: there is no study file `gone.toml`"),
        (["study"], "toroids: there is no study file `studies/digits.toml`"),
        (["report", "gone"], "toroids: `gone` holds no run; pass the folder of a study"),
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


@pytest.mark.parametrize("engine", ["in-process", "processes"])
def test_ctrl_c_keeps_what_is_done_and_the_same_command_goes_on(study_file, tmp_path, rows, engine):
    command = ["study", str(study_file), "--engine", engine, "--workers", "1"]
    if engine == "in-process":
        command = command[:-2]
    process = subprocess.Popen(
        [*TOROIDS, *command],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for _ in range(5):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=120)
    if process.returncode == 0:
        pytest.fail("the study was over before it could be interrupted")
    assert process.returncode == 130
    assert "Traceback" not in error
    assert "interrupted; what was done is kept in `runs/small`, the same command goes on" in error
    run = tmp_path / "runs" / "small"
    done = read_rows(run)[-1].done
    assert 5 <= done < 28

    finished = toroids("study", study_file, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert not list(run.rglob("*.tmp"))  # what a worker left that was writing
    assert finished.stdout.startswith(f"[{done}/28] taken up where it was")
    of_networks = [row for row in read_rows(run) if row.kind != "run"]
    assert without_times(of_networks) == without_times([r for r in rows if r.kind != "run"])


def test_overrides_and_a_dry_run(study_file, tmp_path):
    more = ("--set", "seeds=[0, 1]", "--set", "solvers.sgd.lr=0.05")
    planned = toroids("study", study_file, *more, "--dry-run", cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    assert "15 tasks, 0 of them done in `runs/small`" in planned.stdout
    assert not (tmp_path / "runs").exists()
    done = toroids("study", study_file, *more, "--out", "r", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    networks = of_kind(read_rows(tmp_path / "r"), "network")
    assert {row.config["lr"] for row in networks if row.solver == "sgd"} == {0.05}
    assert len(networks) == 4
    wrong = toroids("study", study_file, "--set", "solvers.sgd.lr=fast", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "--set solvers.sgd.lr=fast" in wrong.stderr


def test_runs_are_listed_shown_and_exported(study_file, tmp_path, run):
    shutil.copytree(run, tmp_path / "runs" / "small")
    listed = toroids("list", cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr
    assert [word for word in listed.stdout.split() if "/" in word] == ["runs/small", "28/28"]
    shown = toroids("show", "runs/small", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "28 of 28 tasks are done (finished)" in shown.stdout
    assert [f"R{number}" in shown.stdout for number in range(1, 9)] == [True] * 8
    exported = toroids("export", "runs/small", "--out", "tables", cwd=tmp_path)
    assert exported.returncode == 0, exported.stderr
    assert "tables/networks.parquet" in exported.stdout.splitlines()
    assert all((tmp_path / line).exists() for line in exported.stdout.splitlines())
    assert toroids("list", "tables", cwd=tmp_path).stdout == "no runs in `tables`\n"


def test_a_study_of_which_tasks_fail_still_has_its_report(tmp_path):
    for seed in (0, 1):
        network = models.fully_connected([64, 12, 10], seed=seed)
        save_params(network.state_dict(), tmp_path / f"{seed}.safetensors")
    save_params({"w": torch.ones(1)}, tmp_path / "2.safetensors")
    solvers = {"mine": {"method": "files", "files": f"{tmp_path}/{{seed}}.safetensors"}}
    write_toml({**SMALL, "solvers": solvers, "claims": {"trained": 0.99}}, tmp_path / "s.toml")
    done = toroids("study", "s.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout.splitlines()[-1] == "report: runs/small/report.html"
    assert "1 of 10 tasks failed" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "mlp-mine-2" in (tmp_path / "runs" / "small" / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("study", "{study}", "--engine", "magic"), "no engine 'magic'; choose from in-process"),
        (("study", "{study}", "--engine", "processes", "--workers", "0"), "workers"),
        (("study", "{study}", "--address", "127.0.0.1:1"), "address"),
        (("show", "gone"), "`gone` holds no run"),
        (("export", "gone"), "`gone` holds no run"),
        (("list", "gone"), "there is no folder `gone`"),
        (("explore", "gone"), "`gone` holds no run"),
    ],
)
def test_wrong_words_about_studies_get_one_sentence(study_file, tmp_path, arguments, message):
    done = toroids(*(word.format(study=study_file) for word in arguments), cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith("toroids: ")
    assert done.stderr.count("\n") == 1


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


def test_a_reader_that_goes_away_does_not_end_the_study(study_file, tmp_path, run):
    begun(run, tmp_path)
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
        (("torch.nn:Identity", "--input", "y=1,3"), "fails on the inputs (1, 3)"),
        (("torch.nn:Identity", "--input", "1,3", "--tokens", "-5"), "pass the size of the vocab"),
        (("torch.nn:Identity", "--input", "1,3", "--json", "."), "`.` is a folder; name a file"),
        (("torch.nn:Linear", "--input", "1,3"), "cannot be called without arguments"),
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
    assert "there is no --batch-norm 'round'" in refused.stderr
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
