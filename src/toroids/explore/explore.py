"""`explore`: the page of a run, until it is ended."""

import webbrowser
from collections.abc import Callable
from pathlib import Path

import torch

from toroids.explore.answers import Answers
from toroids.explore.server import ExploreServer
from toroids.study.opened import open_run


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
    those of the run. It shows the run as it was when it was opened. Ctrl-C ends it.

    Args:
        folder: a run, finished or not.
        port: 0 for any that is free; the first free one from 8421 on when None.
        open_browser: opens the page in the default browser.
        ready: called with the page's address once it is there.

    Raises:
        ToroidsError: there is no run or no network in it yet, or the port cannot be used.
    """
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
