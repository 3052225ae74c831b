"""Makes an engine by its name."""

from toroids.arguments.checked import checked
from toroids.errors import ToroidsError
from toroids.study.engines.engine import Engine
from toroids.study.engines.in_process import InProcess
from toroids.study.engines.processes import Processes
from toroids.study.engines.ray_cluster import RayCluster

ENGINES = ("in-process", "processes", "ray")


@checked
def make_engine(
    name: str, workers: int | None = None, address: str | None = None, gpus: float = 0.0
) -> Engine:
    """Makes an engine; the result of a job does not depend on which.

    Args:
        name: "in-process" for one job after the other, "processes" for the cores of this machine,
            "ray" for an existing Ray cluster.
        workers: processes at once, for "processes"; as many as there are usable cores without it.
        address: of the cluster, for "ray": auto, HOST:PORT from one of its nodes, or
            ray://HOST:PORT.
        gpus: GPUs per job, for "ray": a fraction, or a whole number.

    Returns:
        The engine, to be used in a `with` block.

    Raises:
        ToroidsError: there is no such engine, it does not take what is said, or the cluster cannot
            be reached.

    Example:
        >>> from toroids.study import make_engine
        >>> with make_engine("in-process") as engine:
        ...     engine.name
        'in process'
    """
    if name not in ENGINES:
        raise ToroidsError(f"there is no engine {name!r}; choose from {', '.join(ENGINES)}.")
    if workers is not None and name != "processes":
        raise ToroidsError(f"workers is {workers} but the engine is {name}; it is for processes.")
    if name != "ray" and address is not None:
        raise ToroidsError(f"address is `{address}` but the engine is {name}; it is for ray.")
    if name != "ray" and gpus:
        raise ToroidsError(f"gpus is {gpus} but the engine is {name}; it is for ray.")
    if name == "ray":
        return RayCluster(address, gpus)
    return Processes(workers) if name == "processes" else InProcess()
