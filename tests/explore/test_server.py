"""Laws of the server: this machine only, reading only, for no other site."""

import http.client
import json
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest
from explore.runs import serving

import toroids as td
from toroids.explore.answers import Answers
from toroids.explore.explore import explore
from toroids.explore.server import MOST_AT_ONCE, ExploreServer
from toroids.study.opened import open_run

TWO = "/profile.json?a=mlp-sgd-0&b=mlp-sgd-1"


def ask(server, path, method="GET", **headers):
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


def raw(server, text):
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=10)) as connection:
        connection.sendall(text.encode())
        return connection.makefile("rb").read()


def test_only_loopback(server):
    assert server.socket.getsockname()[0] == "127.0.0.1"
    other = "127.0.0.2"  # on Linux an address of this machine, where a server of all addresses is
    with pytest.raises(OSError):
        socket.create_connection((other, server.port), timeout=2).close()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"),
        ("/app.js", "text/javascript"),
        ("/app.css", "text/css"),
        ("/plotly.js", "text/javascript"),
        ("/networks.json", "application/json"),
        (TWO, "application/json"),
        ("/section.json?a=mlp-sgd-0&b=mlp-sgd-1&c=mlp-sgd-2", "application/json"),
        ("/nothing", "application/json"),
    ],
)
def test_headers(server, path, kind):
    status, headers, body = ask(server, path)
    assert status == (404 if path == "/nothing" else 200)
    assert headers["Content-Type"] == f"{kind}; charset=utf-8"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
    assert "unsafe-eval" not in headers["Content-Security-Policy"]
    assert not [name for name in headers if name.startswith("Access-Control")]
    assert int(headers["Content-Length"]) == len(body)
    assert "Python" not in headers["Server"]


def test_a_family_tree_is_a_page_that_runs_only_its_own_scripts(server):
    status, headers, body = ask(server, "/family.html?architecture=deep")
    assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Content-Security-Policy"] == "frame-ancestors 'none'; connect-src 'none'"
    page = body.decode()
    assert "default-src 'none'; script-src 'sha256-" in page and "The family tree" in page


def test_answer_is_that_of_the_functions(server, real):
    found = json.loads(ask(server, TWO)[2])
    asked = Answers(open_run(real)).profile({"a": ["mlp-sgd-0"], "b": ["mlp-sgd-1"]})
    assert {**found, "seconds": 0} == {**asked, "seconds": 0}


def test_head_has_no_body(server):
    status, headers, body = ask(server, "/networks.json", method="HEAD")
    assert status == 200 and int(headers["Content-Length"]) > 0 and not body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods(server, method):
    status, headers, body = ask(server, "/networks.json", method=method)
    assert status == 405 and headers["Allow"] == "GET, HEAD"
    assert method in json.loads(body)["error"]


def test_no_method_of_http(server):
    assert b"501" in raw(server, f"BREW / HTTP/1.0\r\nHost: localhost:{server.port}\r\n\r\n")
    assert b"Bad request" in raw(server, "\x00\x01 nonsense of this and that\r\n\r\n")
    assert b"Invalid HTTP version" in raw(server, "GET / HTTP/9.9\r\n\r\n")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1",
                                  "localhost.evil.example:{port}", "", "[::1]:{port}0"])  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/networks.json", TWO, "/app.js"])
def test_other_hosts(server, host, path):
    status, _, body = ask(server, path, Host=host.format(port=server.port))
    assert status == 403 and server.url in json.loads(body)["error"]


@pytest.mark.parametrize(
    "host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}"]
)
def test_own_hosts(server, host):
    assert ask(server, "/networks.json", Host=host.format(port=server.port))[0] == 200


def test_no_host_or_two(server):
    assert b" 403 " in raw(server, "GET / HTTP/1.0\r\n\r\n")
    own = f"Host: localhost:{server.port}\r\n"
    assert b" 403 " in raw(server, f"GET / HTTP/1.0\r\n{own}{own}\r\n")
    assert b" 200 " in raw(server, f"GET /app.css HTTP/1.0\r\n{own}\r\n")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_sites(server, site):
    assert ask(server, TWO, **{"Sec-Fetch-Site": site})[0] == 403
    assert ask(server, "/", **{"Sec-Fetch-Site": site})[0] == 200  # a link to the page
    assert ask(server, TWO, **{"Sec-Fetch-Site": "same-origin"})[0] == 200


@pytest.mark.parametrize("header", ["Origin", "Referer"])
@pytest.mark.parametrize("sender", ["http://evil.example", "https://127.0.0.1:{port}", "null", "",
                                    "http://127.0.0.1:1", "http://127.0.0.1:{port}.evil.example/"])  # fmt: skip
def test_other_sites_of_browsers_that_say_only_where_from(server, header, sender):
    foreign = {header: sender.format(port=server.port)}
    status, _, body = ask(server, TWO, **foreign)
    assert status == 403 and "another site asks for this" in json.loads(body)["error"]
    assert ask(server, "/", **foreign)[0] == 200
    assert ask(server, TWO, **{header: f"http://localhost:{server.port}/x"})[0] == 200


def test_many_requests_in_parallel_are_all_answered_at_once(server):
    begun, go_on = threading.Event(), threading.Event()

    class Slow:
        def profile(self, query, gone):
            begun.set()
            assert go_on.wait(60)
            return {}

    found = []

    def one():
        found.append(ask(server, TWO)[0])

    whole, server.answers = server.answers, Slow()
    threads = [threading.Thread(target=one) for _ in range(300)]
    try:
        for thread in threads:
            thread.start()
        assert begun.wait(30)
        until = time.monotonic() + 30
        while len(found) < len(threads) - MOST_AT_ONCE and time.monotonic() < until:
            time.sleep(0.02)
        assert found == [503] * (len(threads) - MOST_AT_ONCE)
    finally:
        go_on.set()
        for thread in threads:
            thread.join(60)
        server.answers = whole
    assert sorted(found) == [200] * MOST_AT_ONCE + [503] * (len(threads) - MOST_AT_ONCE)
    assert ask(server, "/networks.json")[0] == 200


def test_who_asks_a_byte_at_a_time_is_let_go(server, monkeypatch):
    monkeypatch.setattr("toroids.explore.server.ASKING", 0.2)
    with socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.settimeout(0.05)
        until, closed = time.monotonic() + 20, False
        while not closed and time.monotonic() < until:
            try:
                slow.sendall(b"G")
                closed = slow.recv(1) == b""
            except TimeoutError:
                pass
            except ConnectionError:
                closed = True
        assert closed
    assert ask(server, "/networks.json")[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd",
        "/..%2f..%2fetc/passwd",
        "/%2e%2e/run.json",
        "//etc/passwd",
        "/server.py",
        "/page.html",
        "/run.json",
        "/networks/mlp-sgd-0.safetensors",
        "/app.js/",
        "/app.js%00.css",
    ],
)
def test_nothing_else_is_served(server, path):
    status, _, body = ask(server, path)
    assert status == 404 and json.loads(body)["error"].startswith("there is no such page")


def test_what_is_no_address_is_refused(server, capfd):
    host = f"Host: 127.0.0.1:{server.port}"
    answer = raw(server, f"GET http://[::1 HTTP/1.1\r\n{host}\r\nConnection: close\r\n\r\n")
    assert b" 400 " in answer
    assert b"this is no address; open `/`." in answer
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/profile.json", 400, "two networks"),
        ("/profile.json?a=mlp-sgd-0&b=", 404, "no trained network ''"),
        ("/profile.json?a=mlp-sgd-0&b=..%2f..%2fx", 404, "no trained network"),
        ("/profile.json?a=mlp-sgd-0&b=%3Cscript%3E", 404, "<script>"),
        ("/section.json?a=mlp-sgd-0&b=mlp-sgd-1", 400, "three networks"),
        ("/family.html", 400, "the networks of one architecture"),
        (TWO + "&points=0", 400, "points"),
        pytest.param(
            "/profile.json?" + "&".join(f"a{i}" for i in range(5000)),
            400,
            "each named",
            id="5000 names",
        ),
    ],
)
def test_refusals_are_json_sentences(server, path, status, sentence):
    found, headers, body = ask(server, path)
    assert found == status and headers["Content-Type"].startswith("application/json")
    assert sentence in json.loads(body)["error"] and len(body) < 4000


def test_damaged_network_is_a_sentence(real, tmp_path):
    folder = shutil.copytree(real, tmp_path / "damaged")
    with serving(folder) as server:
        for file in (folder / "networks").iterdir():
            file.write_bytes(file.read_bytes()[:-1])
        status, _, body = ask(server, TWO)
    assert status == 422 and "damaged" in json.loads(body)["error"]


def test_pickle_is_refused(real, tmp_path):
    folder = shutil.copytree(real, tmp_path / "pickled")
    with serving(folder) as server:
        for file in (folder / "networks").iterdir():
            file.write_bytes(pickle.dumps({"a": 1}))
        status, _, body = ask(server, TWO)
    assert status == 422 and "pickle" in json.loads(body)["error"]


def test_unexpected_failure_is_a_sentence(server, monkeypatch, capfd):
    monkeypatch.setattr(server.answers, "profile", lambda *_: 1 / 0)
    status, _, body = ask(server, TWO)
    assert status == 500 and "ZeroDivisionError" in json.loads(body)["error"]
    assert "Traceback" in capfd.readouterr().err


def test_browser_that_hangs_up_stops_the_computation(server):
    begun, ended = threading.Event(), []

    class Slow:
        def profile(self, query, gone):
            begun.set()
            until = time.monotonic() + 20
            while not gone() and time.monotonic() < until:
                time.sleep(0.01)
            ended.append(gone())
            return {}

    whole, server.answers = server.answers, Slow()
    try:
        connection = socket.create_connection(("127.0.0.1", server.port))
        connection.sendall(f"GET {TWO} HTTP/1.0\r\nHost: localhost:{server.port}\r\n\r\n".encode())
        assert begun.wait(10) and not ended
        connection.close()
        until = time.monotonic() + 10
        while not ended and time.monotonic() < until:
            time.sleep(0.02)
    finally:
        server.answers = whole
    assert ended == [True]


def test_taken_port(server, real):
    sentence = f"port {server.port} cannot be used .*; choose another, or 0 for any that is free"
    with pytest.raises(td.ToroidsError, match=sentence):
        explore(real, server.port)


@pytest.mark.parametrize("port", [-1, 70000])
def test_no_port(server, port):
    with pytest.raises(td.ToroidsError, match=f"port {port} cannot be used"):
        ExploreServer(server.answers, port)


def test_next_free_port(server, monkeypatch):
    monkeypatch.setattr(sys.modules[ExploreServer.__module__], "PORTS", (server.port,))
    with ExploreServer(server.answers) as other:
        assert other.port not in (0, server.port)


def test_no_run(tmp_path):
    with pytest.raises(td.ToroidsError, match="holds no run"):
        explore(tmp_path)


PROGRAM = """
import pathlib, sys
from toroids.cli.explore import explore
explore(pathlib.Path(sys.argv[1]), 0)
"""


def test_ctrl_c_ends_the_command(real):
    command = [sys.executable, "-c", PROGRAM, str(real)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, out, errors) == (0, "ended.\n", "")
