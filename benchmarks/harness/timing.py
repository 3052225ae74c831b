"""Times actions in turn, so that a machine that slows down slows all of them."""

import time
from collections.abc import Callable, Mapping


def interleaved(
    actions: Mapping[str, Callable[[], object]],
    repeats: int,
    clock: Callable[[], float] = time.process_time,
    calls: Mapping[str, int] | None = None,
    warm_up: bool = True,
) -> dict[str, list[float]]:
    """Seconds of a call of every action, one value per repeat.

    Args:
        actions: by name.
        repeats: how often each is timed.
        clock: CPU seconds of this process without it, which other work on the machine lengthens
            least; `time.perf_counter` where threads or processes share the work.
        calls: how often an action is called for one value, once without it; short ones need many.
        warm_up: run all once before anything is timed.

    Returns:
        The values by the names of the actions.
    """
    found: dict[str, list[float]] = {name: [] for name in actions}
    for repeat in range(-int(warm_up), repeats):
        for name, action in actions.items():
            count = (calls or {}).get(name, 1)
            begun = clock()
            for _ in range(count):
                action()
            if repeat >= 0:
                found[name].append((clock() - begun) / count)
    return found
