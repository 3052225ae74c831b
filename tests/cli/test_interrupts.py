"""Ctrl-C at any moment: exit code 130, no traceback, never swallowed."""

import signal
import subprocess
import sys
import time

import pytest

# Presses Ctrl-C when a module is looked for, as a person may at any moment of the imports.
AT_AN_IMPORT = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {moment!r}:
            sys.meta_path.remove(self)
            {press}

sys.meta_path.insert(0, Finder())
sys.argv = ["toroids", "list", "."]
from {entry} import main
main()
print("went on")
"""
PRESS = "os.kill(os.getpid(), signal.SIGINT)"
SWALLOW = f"""
            try:
                {PRESS}
            except BaseException:
                pass
"""
IN_A_BLOCK = """
import os, signal, time
from toroids.cli import interrupts

interrupts.SECONDS_TO_LEAVE = 0.05

class Ends:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)

with interrupts.Interrupts():
{body}
"""


def run(program, cwd):
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "moment",
    [
        "toroids", "typing", "toroids.cli", "toroids.cli.interrupts", "typer",
        "toroids.cli.studies", "torch", "torch.nn.modules",
    ],
)  # fmt: skip
def test_while_the_command_is_imported(moment, tmp_path):
    program = AT_AN_IMPORT.format(moment=moment, press=PRESS, entry="toroids_shell")
    assert run(program, tmp_path) == (130, "", "")


def test_an_import_sees_no_interrupt_for_which_code_in_cpp_would_abort(tmp_path):
    raised = f"try:\n                {PRESS}\n            except BaseException:\n                os._exit(1)"
    program = AT_AN_IMPORT.format(
        moment="toroids.study.listing", press=raised, entry="toroids_shell"
    )
    assert run(program, tmp_path) == (130, "", "")


def test_after_any_delay(tmp_path):
    program = AT_AN_IMPORT.format(
        moment="toroids", press="os.write(1, b'.')", entry="toroids_shell"
    )
    started = []
    for delay in (0.0, 0.003, 0.01, 0.02, 0.03, 0.05, 0.08):
        process = subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd=tmp_path,
        )  # fmt: skip
        started.append((delay, process))
        assert process.stdout.read(1) == b"."
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
    for delay, process in started:
        error = process.communicate(timeout=60)[1]
        assert (process.returncode, error) == (130, b""), delay


def test_one_that_an_import_swallows_is_not_forgotten(tmp_path):
    program = AT_AN_IMPORT.format(
        moment="toroids.study.listing", press=SWALLOW, entry="toroids.cli"
    )
    code, out, error = run(program, tmp_path)
    assert (code, error) == (130, "")
    assert "went on" not in out


@pytest.mark.parametrize(
    "body",
    [
        "    os.kill(os.getpid(), signal.SIGINT)",
        "    Ends()\n    time.sleep(60)",
        "    try:\n        os.kill(os.getpid(), signal.SIGINT)\n"
        "    except BaseException:\n        pass\n    time.sleep(60)",
        "    try:\n        os.kill(os.getpid(), signal.SIGINT)\n"
        "    finally:\n        raise ValueError('another error')",
        "    raise KeyboardInterrupt",
    ],
)
def test_what_becomes_of_one_in_the_middle(body, tmp_path):
    assert run(IN_A_BLOCK.format(body=body), tmp_path) == (130, "", "")


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_program_that_is_asked_to_end_tidies_up(name, code, tmp_path):
    body = (
        "    from toroids.files.writing import replacing\n"
        f"    with replacing({str(tmp_path / 'out')!r}) as stream:\n"
        "        stream.write(bytes(99))\n"
        f"        os.kill(os.getpid(), signal.{name})"
    )
    assert run(IN_A_BLOCK.format(body=body), tmp_path) == (code, "", "")
    assert not [path for path in tmp_path.iterdir() if path.name != "__pycache__"]


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_call_in_c_that_takes_long_holds_none_up(name, code, tmp_path):
    body = (
        "    import hashlib, threading\n"
        "    from toroids.files.writing import new_folder, replacing\n"
        "    interrupts.SECONDS_TO_HEAR = 0.05\n"
        f"    with new_folder({str(tmp_path / 'new')!r}) as folder, replacing(folder / 'out'):\n"
        f"        threading.Timer(0.05, os.kill, (os.getpid(), signal.{name})).start()\n"
        "        hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)"
    )
    assert run(IN_A_BLOCK.format(body=body), tmp_path) == (code, "", "")
    assert not list(tmp_path.glob("*-*"))


def test_who_asks_twice_does_not_wait(tmp_path):
    body = (
        "    try:\n        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    finally:\n        os.kill(os.getpid(), signal.SIGTERM)"
    )
    assert run(IN_A_BLOCK.format(body=body), tmp_path)[0] == -signal.SIGTERM


def test_what_is_no_interrupt_goes_through_and_the_old_handler_is_back(tmp_path):
    program = (
        "import signal\nfrom toroids.cli.interrupts import Interrupts\n"
        "try:\n    with Interrupts():\n        raise ValueError\n"
        "except ValueError:\n    print(signal.getsignal(signal.SIGINT).__name__)"
    )
    assert run(program, tmp_path) == (0, "default_int_handler\n", "")


def test_a_process_that_may_open_no_further_file(tmp_path):
    program = (
        "import resource\nfrom toroids.cli.interrupts import Interrupts\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\n"
        "with Interrupts():\n    print('goes on')"
    )
    assert run(program, tmp_path) == (0, "goes on\n", "")


def test_where_it_is_ignored_as_in_the_background_it_stays_so(tmp_path):
    program = (
        "import os, signal\nfrom toroids.cli.interrupts import Interrupts\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "with Interrupts():\n    os.kill(os.getpid(), signal.SIGINT)\n    print('goes on')"
    )
    assert run(program, tmp_path) == (0, "goes on\n", "")


def test_a_folder_that_is_gone_is_said(tmp_path):
    program = f"import os; os.rmdir({str(tmp_path)!r}); import toroids_shell; toroids_shell.main()"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True)
    assert done.returncode == 1
    assert done.stderr.decode() == "Error: this folder is gone; change to one that exists.\n"
