"""The worker's side of every engine: one job, on one thread, from a repeatable state."""

import importlib
import json
import random
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import safetensors.torch
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from toroids.design.task import Outcome
from toroids.errors import ToroidsError, said
from toroids.params import Params
from toroids.study.engines.bootstrap import Channel, Head
from toroids.study.engines.engine import PERFORM, Finished, Job
from toroids.study.engines.messages import decode_job, encode_finished
from toroids.study.sealed import load_network

Networks: TypeAlias = tuple[Params | None, ...]
# A library's message may quote a whole array; a person reads one sentence.
LONGEST_MESSAGE = 500


def serve(channel: Channel) -> None:
    """Answers jobs until the engine is gone; the main function of a worker process.

    Args:
        channel: where jobs come from, and where what became of them goes.
    """
    while True:
        try:
            head, _ = channel.receive()
        except EOFError:
            return
        channel.send(*answer(head))


def answer(head: Head, networks: Sequence[bytes | None] | None = None) -> tuple[Head, list[bytes]]:
    """Does the job of a message.

    Args:
        head: the job as `encode_job` writes it, and "function", which does it.
        networks: the networks of its inputs; without them they are read from the weight files.

    Returns:
        What became of the job, as `encode_finished` writes it.
    """

    def decoded(_: Job) -> Networks:
        return tuple(None if x is None else safetensors.torch.load(x) for x in networks or ())

    load = read_networks if networks is None else decoded
    return encode_finished(work(decode_job(head["job"]), head["function"], load))


def work(
    job: Job, function: str = PERFORM, load: Callable[[Job], Networks] | None = None
) -> Finished:
    """Does one job on one thread; the result does not depend on what ran before it.

    Args:
        job: the task with what it takes.
        function: does the task, as "module:function".
        load: gets the networks of its inputs; from the weight files without it.

    Returns:
        The outcome, its network on the CPU; or why there is none.
    """
    try:
        with one_thread(), seeded(job.task.id):
            networks = (load or read_networks)(job)
            more = {} if job.checkpoint is None else {"checkpoint": job.checkpoint}
            outcome = _function(function)(job.task, job.rows, networks, **more)
            return Finished(job, _plain(outcome))
    except ToroidsError as error:
        return Finished(job, error=_one_line(error))
    except (MemoryError, torch.OutOfMemoryError) as error:  # others may have used it up
        return Finished(job, died=f"it ran out of memory ({_one_line(error)}).")
    except (Exception, SystemExit) as error:  # one task must not end the study
        return Finished(job, error=unexpected(error))


def read_networks(job: Job) -> Networks:
    """Reads the weight files of a job."""
    return tuple(None if path is None else load_network(path) for path in job.weights)


@contextmanager
def one_thread() -> Iterator[None]:
    """Limits PyTorch, OpenMP and BLAS to one thread, and restores their limits afterwards.

    How a sum is split over threads decides how it is rounded: with one thread everywhere, results
    do not depend on the cores of the machine.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def seeded(name: str) -> Iterator[None]:
    """Seeds the global generators from a name, and restores them afterwards.

    Toroids itself draws from generators of its own; a network that a user built may not.
    """
    kept = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=_cuda_devices()):
        generator = random.Random(name)
        random.seed(generator.getrandbits(64))
        np.random.seed(generator.getrandbits(32))
        torch.manual_seed(generator.getrandbits(63))
        try:
            yield
        finally:
            random.setstate(kept[0])
            np.random.set_state(kept[1])


def _cuda_devices() -> Sequence[int]:
    # to ask a device for its state would start CUDA, which takes memory and seconds
    started: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return range(torch.cuda.device_count()) if started else ()


def _function(name: str) -> Callable[..., Outcome]:
    module, _, attribute = name.partition(":")
    function: Callable[..., Outcome] = getattr(importlib.import_module(module), attribute)
    return function


def _plain(outcome: Outcome) -> Outcome:
    """Makes an outcome what it is after a journey through JSON and safetensors."""
    row: dict[str, Any] = json.loads(json.dumps(outcome.row, allow_nan=False))
    params = outcome.params
    if params is not None:
        params = {name: tensor.detach().cpu().clone() for name, tensor in params.items()}
    return replace(outcome, row=row, params=params)


def unexpected(error: BaseException) -> str:
    """Says in one line what a user's code, or a library, raised and where."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(place.filename).name}, line {place.lineno}"
    return f"{type(error).__name__} in {where}: {_one_line(error)}"


def _one_line(error: BaseException) -> str:
    return " ".join(said(error).split())[:LONGEST_MESSAGE] or "no message"
