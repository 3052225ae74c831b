"""`explore`: the page of a run, until it is ended."""

import webbrowser
from collections.abc import Callable
from pathlib import Path

import torch

from toroids.arguments.checked import checked
from toroids.errors import ToroidsError
from toroids.explore.answers import Answers
from toroids.explore.server import ExploreServer
from toroids.study.opened import open_run


@checked
def explore(
    folder: str | Path,
    port: int | None = None,
    open_browser: bool = False,
    ready: Callable[[str], None] = print,
) -> None:
    """Serves a page with the networks of a run, to choose some and see what lies between them.

    The page is at a port of this machine that no other machine reaches. It shows the map of the
    networks; of two that are chosen it measures the error on the paths between them, of three that
    on their section, on one thread and with the settings of the study, so that the numbers are
    those of the run. Of all networks of an architecture it makes a family tree. It shows the run as
    it was when it was opened. Ctrl-C ends it.

    Args:
        folder: a run, finished or not.
        port: 0 for any that is free; the first free one from 8421 on when None.
        open_browser: opens the page in the default browser.
        ready: called with the page's address once it is there.

    Raises:
        ToroidsError: there is no run or no network in it yet, or the port cannot be used.

    Example:
        >>> import tempfile
        >>> from toroids.explore.explore import explore
        >>> from toroids.study import StudyConfig, run_study
        >>> study = StudyConfig.model_validate(
        ...     {
        ...         "name": "tiny",
        ...         "seeds": [0],
        ...         "data": {"name": "digits", "train": 60},
        ...         "networks": {"mlp": {"model": "fully_connected", "hidden": [4]}},
        ...         "solvers": {"sgd": {"method": "sgd", "budget": 1}},
        ...         "flatness": {"sigmas": [0.5], "samples": 2},
        ...     }
        ... )
        >>> def ready(url):
        ...     print(url.startswith("http://127.0.0.1:"))
        ...     raise KeyboardInterrupt  # as Ctrl-C does, at once
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     explore(run_study(study, folder), port=0, ready=ready)
        True
    """
    if port is not None and not isinstance(port, int):
        raise ToroidsError(f"the port is {port!r}; pass a whole number, 0 for any that is free.")
    answers = Answers(open_run(folder))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ExploreServer(answers, port) as server:
            ready(server.url)
            if open_browser:
                webbrowser.open(server.url)
            server.serve_forever()
    except KeyboardInterrupt:
        return
    finally:
        torch.set_num_threads(threads)
