"""No command writes onto what it reads or onto what is not its own; files are whole or not there."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from cli.commands import COMMANDS, MODEL, arguments, fill, run
from safetensors import safe_open
from small_study import SMALL, write_toml

import toroids as td
from toroids.checkpoint import open_checkpoint
from toroids.files.seal import is_sealed

INPUTS = ["a.safetensors", "b.safetensors", "data.safetensors", "nets_of_outputs.py"]
# Without JSON, which has no place for a seal that from_json would let pass.
SEALED = [command for command in COMMANDS if command != "symmetries"]


@pytest.fixture
def folder(tmp_path):
    fill(tmp_path)
    return tmp_path


def contents(folder):
    paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def reads(command, name):
    files, options = COMMANDS[command]
    own = [f"{file}.safetensors" for file in files] + ["nets_of_outputs.py"]
    return name in own or name in options


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_command_reads_is_never_written(folder, command, capsys):
    before = contents(folder)
    for name in (name for name in INPUTS if reads(command, name)):
        (folder / "link").symlink_to(name)
        os.link(folder / name, folder / "hard")
        for out in (name, "link", "hard", f"./x/../{name}"):
            (folder / "x").mkdir(exist_ok=True)
            assert run(folder, *arguments(command, out), "--force") == 2
            error = capsys.readouterr().err
            assert f"`{Path(out)}` is what the command reads" in error
            assert error.count("\n") == 1
        for made in ("link", "hard"):
            (folder / made).unlink()
    assert contents(folder) == before


@pytest.mark.parametrize("command", ["align", "profile", "flatness", "section", "merge"])
def test_a_name_may_hold_what_is_no_character(folder, command, capsys):
    strange = "\udcff.safetensors"  # the byte 0xff
    (folder / "a.safetensors").rename(folder / strange)
    words = [strange if word == "a.safetensors" else word for word in arguments(command, "\udcfe")]
    assert run(folder, *words) == 0
    assert "\\udcfe" in capsys.readouterr().out
    assert os.path.getsize(folder / "\udcfe")


@pytest.mark.parametrize("command", COMMANDS)
def test_what_others_wrote_is_replaced_only_with_force(folder, command, capsys):
    (folder / "notes.txt").write_text("mine")
    assert run(folder, *arguments(command, "notes.txt")) == 2
    assert "`notes.txt` exists, and is not as a command of toroids wrote it" in (
        capsys.readouterr().err
    )
    assert (folder / "notes.txt").read_text() == "mine"
    (folder / "link").symlink_to("notes.txt")
    assert run(folder, *arguments(command, "link"), "--force") == 0
    assert (folder / "link").is_symlink()
    assert (folder / "notes.txt").read_bytes() != b"mine"


@pytest.mark.parametrize("command", SEALED)
def test_what_a_command_wrote_is_replaced_until_somebody_changes_it(folder, command, monkeypatch):
    call = arguments(command, "new/out")
    out = folder / "new" / "out"
    assert run(folder, *call) == 0
    written = out.read_bytes()
    assert is_sealed(out)

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert run(folder, *call) == 2
    assert contents(folder / "new") == {"out": written}

    out.write_bytes(written[:-1] + b"#")
    assert run(folder, *call) == 2
    assert out.read_bytes() == written[:-1] + b"#"
    out.write_bytes(written)
    assert run(folder, *call) == 0


def test_a_full_disk_is_one_sentence(folder, monkeypatch, capsys):
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "")))
    assert run(folder, *arguments("canonicalize", "out")) == 2
    assert capsys.readouterr().err == (
        "toroids: the disk is full; free some space and try again.\n"
    )


# Every command in a process of its own, which is killed when all but the last step is done.
KILLS = """
import os, signal, sys
from pathlib import Path
import torch
from cli.commands import COMMANDS, arguments, run
torch.set_num_threads(1)
for command in ("section", "merge"):  # imports what they all need, before any of them is forked
    run(Path.cwd(), *arguments(command, "first"), "--force")
for command in COMMANDS:
    child = os.fork()
    if child == 0:
        os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
        run(Path.cwd(), *arguments(command, f"{command}.out"), "--force")
        os._exit(0)
    print(command, os.waitpid(child, 0)[1], flush=True)
"""


def test_one_that_is_killed_leaves_the_old_file_or_none(folder):
    (folder / "align.out").write_text("old")
    path = [str(Path(__file__).parents[1]), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", KILLS], cwd=folder, capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)}, check=False,
    )  # fmt: skip
    killed = [line for line in done.stdout.splitlines() if line.endswith(" 9")]
    assert [line.split()[0] for line in killed] == list(COMMANDS), done.stderr
    assert (folder / "align.out").read_text() == "old"
    assert [path.name for path in folder.glob("*.out")] == ["align.out"]


def test_a_file_that_appears_while_a_command_works_is_kept(folder, monkeypatch, capsys):
    call = arguments("canonicalize", "out")

    load = td.canonicalize

    def slow(*words, **named):
        (folder / "out").write_text("mine")
        return load(*words, **named)

    monkeypatch.setattr("toroids.cli.networks.canonical_form", slow)
    assert run(folder, *call) == 2
    assert (folder / "out").read_text() == "mine"
    assert "`out` exists, and is not as a command" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_no_file_is_not_written(folder, command, capsys):
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to("loop")
    for out, reason in (
        ("pipe", "`pipe` is no regular file"),
        (".", "`.` is a folder; name a file"),
        ("loop", "cannot use `loop`"),
        ("a.safetensors/x", "cannot use `a.safetensors/x`"),
    ):
        assert run(folder, *arguments(command, out)) == 2
        error = capsys.readouterr().err
        assert reason in error
        assert error.count("\n") == 1


@pytest.mark.parametrize("command", ["align", "merge"])
def test_folders_of_weights(folder, command, capsys):
    for name in "ab":
        (folder / name).mkdir()
        shutil.copy(folder / f"{name}.safetensors", folder / name / "model.safetensors")
    index = folder / "a" / "model.safetensors.index.json"
    names = open_checkpoint(folder / "a").keys()
    text = ", ".join(f'"{name}": "model.safetensors"' for name in names)
    index.write_text(f'{{"weight_map": {{{text}}}}}')
    before = contents(folder)
    for source in ("a", "a/model.safetensors.index.json", "a/model.safetensors"):
        words = [command, source, "b", *COMMANDS[command][1], "--force", "--out"]
        for out in ("a", "b", "a/x", "b/x", "b/model.safetensors"):
            if (source, out) == ("a/model.safetensors", "a/x"):
                continue  # a file beside another
            assert run(folder, *words, out) == 2
            error = capsys.readouterr().err
            assert (
                "what the command reads" in error
                or "that the command reads" in error
                or ("is a folder; name a file" in error)
            )
    assert contents(folder) == before


def test_two_outputs_are_two_files(folder, capsys):
    words = [*arguments("merge", "m"), "--data", "data.safetensors", "--picture", "./m"]
    assert run(folder, *words) == 2
    assert "name another file with --picture" in capsys.readouterr().err


def test_networks_with_other_heads_are_aligned_on_their_trunk(folder, capsys):
    network = td.load_params(folder / "a.safetensors")
    wide = network | {"2.weight": torch.randn(5, 4).double(), "2.bias": torch.randn(5).double()}
    order = torch.tensor([2, 0, 3, 1])
    wide |= {name: wide[name][order] for name in ("0.weight", "0.bias")}
    wide["2.weight"] = wide["2.weight"][:, order]
    td.save_params(wide, folder / "wide.safetensors")
    words = ["align", "wide.safetensors", "a.safetensors", *COMMANDS["align"][1], "--raw"]
    assert run(folder, *words, "--out", "moved") == 2
    assert "2.weight" in capsys.readouterr().err
    assert run(folder, *words, "--only", "0", "--out", "moved") == 0
    moved = td.load_params(folder / "moved")
    assert torch.equal(moved["0.weight"], network["0.weight"])
    assert torch.equal(moved["2.weight"][:, order], wide["2.weight"])


def test_weights_keep_their_metadata_and_are_read_by_others(folder):
    assert run(folder, *arguments("align", "moved.safetensors")) == 0
    assert run(folder, *arguments("canonicalize", "canonical.safetensors")) == 0
    for name in ("moved", "canonical"):
        with safe_open(folder / f"{name}.safetensors", framework="pt") as file:
            assert set(file.metadata()) - {"format"} == {"toroids"}
            read = {name: file.get_tensor(name) for name in file.keys()}
        assert all(
            torch.equal(tensor, td.load_params(folder / f"{name}.safetensors")[key])
            for key, tensor in read.items()
        )


def test_tables_are_replaced_all_or_none(run_folder, tmp_path, capsys):
    words = ["export", str(run_folder), "--out", str(tmp_path / "t")]
    assert run(tmp_path, *words) == 0
    assert run(tmp_path, *words) == 0
    first = contents(tmp_path / "t")
    name = sorted(first)[-1]
    (tmp_path / "t" / name).write_text("mine")
    assert run(tmp_path, *words) == 2
    assert f"{name}` exists, and is not as a command" in capsys.readouterr().err
    assert contents(tmp_path / "t") == {**first, name: b"mine"}
    assert run(tmp_path, *words, "--force") == 0
    assert is_sealed(tmp_path / "t" / name)


def test_tables_go_into_a_run_but_onto_nothing_of_it(run_folder, tmp_path, capsys):
    shutil.copytree(run_folder, tmp_path / "r")
    assert run(tmp_path, "export", "r") == 0
    assert run(tmp_path, "export", "r") == 0
    assert is_sealed(tmp_path / "r" / "tables" / "networks.parquet")
    capsys.readouterr()
    before = contents(tmp_path / "r")
    for place, target in (("r", "run.json"), ("r/tables", "../results"), ("x", "../r/report.html")):
        link = tmp_path / place / "networks.parquet"
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        target = next((link.parent / target).glob("*")) if "results" in target else target
        link.symlink_to(target)
        assert run(tmp_path, "export", "r", "--out", place, "--force") == 2, place
        assert "is what the command reads" in capsys.readouterr().err
        link.unlink()
    after = contents(tmp_path / "r")
    assert {name: before[name] for name in after} == after


@pytest.fixture
def run_folder(request):
    return request.getfixturevalue("run")


def test_shards_in_folders_and_behind_links_are_read_as_well(folder, capsys):
    shards = folder / "shards"
    (shards / "sub").mkdir(parents=True)
    (folder / "a.safetensors").rename(folder / "blob.safetensors")
    (shards / "sub" / "s.safetensors").symlink_to(folder / "blob.safetensors")
    names = td.load_params(folder / "blob.safetensors")
    index = {"weight_map": dict.fromkeys(names, "sub/s.safetensors")}
    (shards / "model.safetensors.index.json").write_text(json.dumps(index))
    before = (folder / "blob.safetensors").read_bytes()
    for out in ("blob.safetensors", "shards/sub/s.safetensors", "shards/sub/new.safetensors"):
        call = ["canonicalize", "shards", *MODEL, "--out", out, "--force"]
        assert run(folder, *call) == 2, out
        assert "the command reads" in capsys.readouterr().err
    assert (folder / "blob.safetensors").read_bytes() == before


@pytest.mark.parametrize("name", ["report.html", "run.json", "derived.json"])
def test_a_study_is_not_written_onto_its_own_file(folder, name, capsys):
    (folder / "s").mkdir()
    study = Path(__file__).parents[2] / "studies" / "digits.toml"
    (folder / "s" / name).write_text(study.read_text())
    before = (folder / "s" / name).read_text()
    assert run(folder, "study", f"s/{name}", "--out", "s") == 2
    assert f"is where the run writes its `{name}`" in capsys.readouterr().err
    assert (folder / "s" / name).read_text() == before


def test_a_module_that_the_models_module_imports_is_read_as_well(folder, capsys):
    (folder / "widths_of_outputs.py").write_text("HIDDEN = 4\n")
    (folder / "late_of_outputs.py").write_text("BIAS = True\n")
    module = folder / "nets_of_outputs.py"
    text = module.read_text().replace("def build():", "def build():\n    import late_of_outputs")
    module.write_text(f"import widths_of_outputs\n{text}")
    for name in ("widths_of_outputs.py", "late_of_outputs.py"):
        (folder / "link").symlink_to(name)
        before = contents(folder)
        for out in (name, "link"):
            assert run(folder, *arguments("canonicalize", out), "--force") == 2
            error = capsys.readouterr().err
            assert f"`{out}` is what the command reads, the module {name[:-3]}" in error
        assert contents(folder) == before
        (folder / "link").unlink()
        sys.modules.pop(name[:-3])


@pytest.mark.parametrize("command", ["report", "study"])
def test_a_report_that_somebody_changed_is_replaced_only_with_force(
    command, run_folder, tmp_path, capsys
):
    shutil.copytree(run_folder, tmp_path / "r")
    write_toml(SMALL, tmp_path / "small.toml")
    words = ["report", "r"] if command == "report" else ["study", "small.toml", "--out", "r"]
    page = tmp_path / "r" / "report.html"
    assert run(tmp_path, *words) == 0
    assert is_sealed(page)
    assert run(tmp_path, *words) == 0
    page.write_text(page.read_text() + "<!-- my notes -->")
    edited = page.read_bytes()
    assert run(tmp_path, *words) == 2
    assert "report.html` exists, and is not as a command" in (error := capsys.readouterr().err)
    assert "move it away, or pass --force to replace it" in error
    assert page.read_bytes() == edited
    assert run(tmp_path, *words, "--force") == 0
    assert is_sealed(page)
