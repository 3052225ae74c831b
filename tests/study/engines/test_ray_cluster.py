import contextlib
import importlib.util
import ipaddress
import os
import signal
import socket
import time
from pathlib import Path

import pytest
import torch
from study.engines.conftest import eventually, running
from study.engines.fakes import FUNCTION, job

from toroids.errors import ToroidsError
from toroids.study.engines import ray_cluster
from toroids.study.engines.ray_cluster import RayCluster
from toroids.study.sealed import save_network

NETWORK = {"weight": torch.arange(100_000.0)}  # too large to travel without the object store


@pytest.fixture
def weights(tmp_path):
    save_network(NETWORK, tmp_path / "network.safetensors")
    return tmp_path / "network.safetensors"


def test_a_node_that_dies_in_the_middle_loses_its_job_and_no_other(
    cluster, engines, tmp_path, weights
):
    engine = engines("ray")
    assert engine.slots == 2
    for index in range(2):
        settings = {"folder": str(tmp_path), "seconds": 60, "index": index}
        engine.submit(job("sleep", weights=(weights,), **settings))
    assert eventually(lambda: len(list(tmp_path.glob("*.started"))) == 2)
    cluster.do("kill")
    lost = engine.next()
    assert lost.died.startswith("the Ray cluster lost it (")
    (tmp_path / "go on").touch()
    kept = engine.next().outcome.row
    assert eventually(lambda: engine.slots == 1)
    engine.submit(lost.job)
    again = engine.next().outcome.row
    assert again["node"] == kept["node"]
    assert {again["index"], kept["index"]} == {0, 1}
    engine.submit(job("echo", weights=(weights,)))
    assert torch.equal(engine.next().outcome.params["weight"], 2 * NETWORK["weight"])
    cluster.do("add")
    assert eventually(lambda: engine.slots == 2)


def test_a_worker_that_dies_in_the_middle_loses_its_job_and_no_other(cluster, engines, tmp_path):
    engine = engines("ray")
    assert eventually(lambda: engine.slots == 2)
    for index in range(2):
        folder = tmp_path / str(index)
        folder.mkdir()
        engine.submit(job("sleep", folder=str(folder), seconds=600, index=index))
    assert eventually(lambda: len(list(tmp_path.glob("*/*.started"))) == 2)
    (started,) = (tmp_path / "0").iterdir()
    os.kill(int(started.stem), signal.SIGKILL)
    lost = engine.next()
    assert lost.died.startswith("the Ray cluster lost it (")
    assert (
        lost.job.task.settings
        == job("sleep", folder=str(tmp_path / "0"), seconds=600, index=0).task.settings
    )
    for index in range(2):
        (tmp_path / str(index) / "go on").touch()
    assert engine.next().outcome.row["index"] == 1
    engine.submit(lost.job)
    assert engine.next().outcome.row["index"] == 0


@pytest.mark.long
def test_a_driver_that_dies_is_one_sentence_and_its_jobs_are_cancelled(cluster, tmp_path):
    engine = RayCluster(cluster.address, function=FUNCTION)
    for index in range(2):
        engine.submit(job("sleep", folder=str(tmp_path), seconds=600, index=index))
    assert eventually(lambda: len(list(tmp_path.glob("*.started"))) == 2)
    engine._child.kill()
    message = "the Ray cluster at .* was lost; run the same command again"
    for _ in range(2):  # also whoever asks again
        with pytest.raises(ToroidsError, match=message):
            engine.next()
    engine.close()
    with RayCluster(cluster.address, function=FUNCTION) as other:  # the CPUs are free again
        for index in range(2):
            other.submit(job("echo", index=index))
        assert all(other.next().outcome for _ in range(2))


def test_the_cluster_is_on_loopback_only(cluster):
    """Otherwise the tests would open ports to others; the addresses are those of its processes."""
    listening = set(addresses(cluster.folder))
    assert listening
    assert all(address.is_loopback for address in listening)


def addresses(word):
    """Where the processes of which the command line has a word listen for connections."""
    inodes = set()
    for process in running(word):
        for handle in Path(f"/proc/{process}/fd").glob("*"):
            with contextlib.suppress(OSError):
                inodes.add(os.readlink(handle).removeprefix("socket:[").removesuffix("]"))
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:  # it listens
                yield readable(fields[1].split(":")[0])


def readable(digits):
    words = [bytes.fromhex(digits[at : at + 8])[::-1] for at in range(0, len(digits), 8)]
    address = ipaddress.ip_address(b"".join(words))
    return getattr(address, "ipv4_mapped", None) or address


def test_a_network_is_sent_once(engines, weights, monkeypatch):
    loaded = []
    load = ray_cluster.load_network
    monkeypatch.setattr(ray_cluster, "load_network", lambda path: loaded.append(path) or load(path))
    engine = engines("ray")
    for index in range(4):
        engine.submit(job("echo", weights=(weights, None, weights), index=index))
    for _ in range(4):
        assert torch.equal(engine.next().outcome.params["weight"], 2 * NETWORK["weight"])
    assert loaded == [weights]


@pytest.mark.long
def test_fractions_of_gpus_limit_the_slots(cluster):
    with RayCluster(cluster.address, 1.0, FUNCTION) as engine:
        assert engine.slots == 1
    with RayCluster(cluster.address, 0.5, FUNCTION) as engine:
        assert engine.slots == 2
        engine.submit(job("echo"))
        assert engine.next().outcome


@pytest.mark.long
def test_closing_cancels_what_runs(cluster, tmp_path):
    engine = RayCluster(cluster.address, function=FUNCTION)
    for index in range(3):
        engine.submit(job("sleep", folder=str(tmp_path), seconds=600, index=index))
    assert eventually(lambda: len(list(tmp_path.glob("*.started"))) == 2)
    begun = time.monotonic()
    engine.close()
    engine.close()  # twice is as good as once
    assert time.monotonic() - begun < 5
    with RayCluster(cluster.address, function=FUNCTION) as engine:  # the CPUs are free again
        engine.submit(job("echo"))
        assert engine.next().outcome


@pytest.fixture
def port():
    """A port on which nobody answers: it is bound, and does not listen."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def needs(*packages):
    for package in packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_where_nobody_listens(port, scheme, capfd):
    needs("ray", *["grpc"] * bool(scheme))
    begun = time.monotonic()
    message = f"the Ray cluster at `{scheme}127.0.0.1:{port}` cannot be used .Connection refused"
    with pytest.raises(ToroidsError, match=message):
        RayCluster(f"{scheme}127.0.0.1:{port}")
    assert time.monotonic() - begun < 20
    assert capfd.readouterr() == ("", "")


def test_an_address_where_something_else_listens(monkeypatch, capfd):
    needs("ray")
    monkeypatch.setattr(ray_cluster, "SECONDS_TO_CONNECT", 3.0)
    with socket.create_server(("127.0.0.1", 0)) as other:
        with pytest.raises(ToroidsError, match="cannot be used .no answer in 3 seconds"):
            RayCluster(f"127.0.0.1:{other.getsockname()[1]}")
    assert capfd.readouterr() == ("", "")


def test_auto_is_what_the_environment_says(cluster, port, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    with RayCluster() as engine:
        assert engine.slots == 2
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    with pytest.raises(ToroidsError, match="the Ray cluster at `auto` cannot be used .Connection"):
        RayCluster()


@pytest.mark.parametrize("address", ["local", "head", "http://head:80", "head:port", "ray://head"])
def test_addresses_that_are_none(address):
    with pytest.raises(ToroidsError, match=f"address is `{address}`; expected auto, HOST:PORT"):
        RayCluster(address)


@pytest.mark.parametrize(
    ("missing", "address", "message"),
    [
        ("ray", "auto", r"needs the package `ray`.*pip install 'toroids\[ray\]'"),
        ("grpc", "ray://head:1", r"for which Ray needs the package `grpcio`.*'ray\[client\]'"),
    ],
)
def test_packages_that_are_not_installed(monkeypatch, missing, address, message):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else name)
    with pytest.raises(ToroidsError, match=message):
        RayCluster(address)
