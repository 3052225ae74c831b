"""What the parts of a study demand of each other.

Each check is given one part and the parts before it, those that are right in themselves: what a
check needs and does not find, it does not ask about.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

from toroids.design.config.data import AnyData
from toroids.design.config.faults import Fault
from toroids.design.config.measurements import (
    BendsConfig,
    FlatnessConfig,
    ProfilesConfig,
    SectionsConfig,
)
from toroids.design.config.networks import AnyNetwork
from toroids.design.config.solvers import AnySolver, FilesConfig
from toroids.errors import ToroidsError
from toroids.params import refuse_pickle

Before = Mapping[str, Any]


def _networks(networks: Mapping[str, AnyNetwork], before: Before) -> Iterator[Fault]:
    kinds = {network.binary for network in networks.values()}
    if len(kinds) > 1:
        yield Fault(
            ("networks",),
            "some have binary weights and some have real ones, whose sigmas differ; make two "
            "studies",
        )
    data: AnyData | None = before.get("data")
    if data is None:
        return
    for name, network in networks.items():
        try:
            network.check_tokens(data.holds_tokens)
            if data.layout is not None:
                network.check(*data.layout)
        except ToroidsError as error:
            yield Fault(("networks", name), str(error).removesuffix("."))


def _solvers(solvers: Mapping[str, AnySolver], before: Before) -> Iterator[Fault]:
    there = before.get("networks")
    for name, solver in solvers.items() if there is not None else ():
        for unknown in sorted(set(solver.architectures or ()) - set(there or ())):
            yield Fault(
                ("solvers", name, "architectures"),
                f"there are no networks {unknown!r}; choose from {', '.join(there or ())}",
            )
    # architecture, solver and seed are joined to the name of a file
    joined: dict[str, tuple[str, str]] = {}
    for pair in product(before.get("networks", ()), solvers):
        other = joined.setdefault("-".join(pair).casefold(), pair)
        if other != pair:
            yield Fault(
                ("solvers", pair[1]),
                f"networks {pair[0]} of solver {pair[1]} would be called like networks "
                f"{other[0]} of solver {other[1]}; name them apart",
            )


def given(solvers: Mapping[str, AnySolver], before: Before) -> Iterator[Fault]:
    """Finds faults in the files of networks that were trained elsewhere."""
    for name, solver in solvers.items():
        if not isinstance(solver, FilesConfig):
            continue
        networks = [n for n in before.get("networks", ()) if solver.is_for(n)]
        seeds = before.get("seeds", ())
        files = dict.fromkeys(solver.file(*pair) for pair in product(networks, seeds))
        if len(files) < len(networks) * len(seeds):
            yield Fault(
                ("solvers", name, "files"),
                "two architectures would share their files; write {architecture} into the path",
            )
        for file in files:
            try:
                refuse_pickle(file)
            except ToroidsError as error:
                yield Fault(("solvers", name, "files"), str(error).removesuffix("."))
            except FileNotFoundError:
                yield Fault(
                    ("solvers", name, "files"), f"there is no file `{file}`; write it there"
                )
            except OSError as error:
                yield Fault(
                    ("solvers", name, "files"),
                    f"`{file}` cannot be read: {error.strerror}; write a safetensors file there",
                )


def _flatness(flatness: FlatnessConfig, before: Before) -> Iterator[Fault]:
    if _binary(before) and max(flatness.sigmas) > 1:
        yield Fault(
            ("flatness", "sigmas"),
            f"they are fractions of binary weights; pass at most 1, got {max(flatness.sigmas)}",
        )


def _profiles(profiles: ProfilesConfig, before: Before) -> Iterator[Fault]:
    for name in ("orders", "blocks"):
        # the default is let pass: a study that was written out has all keys
        changed = getattr(profiles, name) != ProfilesConfig.model_fields[name].default
        if changed and _binary(before) is False:
            yield Fault(("profiles", name), "it is of binary networks; remove it")
    if profiles.parts and _binary(before):
        yield Fault(("profiles", "parts"), "it is of real networks; remove it")
    yield from _enough(("profiles", "parts"), profiles.parts, 2, before)


def _bends(bends: BendsConfig, before: Before) -> Iterator[Fault]:
    yield from _enough(("bends", "count"), bends.count, 2, before)


def _sections(sections: SectionsConfig, before: Before) -> Iterator[Fault]:
    yield from _enough(("sections", "count"), sections.count, 3, before)
    if sections.trajectories and _binary(before):
        yield Fault(
            ("sections", "trajectories"),
            f"binary networks have no principal axes; pass 0, got {sections.trajectories}",
        )


def _enough(path: tuple[str, str], count: int, needed: int, before: Before) -> Iterator[Fault]:
    seeds = before.get("seeds")
    if count and seeds is not None and len(seeds) < needed:
        yield Fault(
            path,
            f"it needs {needed} seeds or more, got {len(seeds)}; list more, or pass 0",
        )


def _binary(before: Before) -> bool | None:
    """Whether the networks are binary; None where they are neither all binary nor all real."""
    kinds = {network.binary for network in before.get("networks", {}).values()}
    return kinds.pop() if len(kinds) == 1 else None


CROSSED: dict[str, Callable[[Any, Before], Iterator[Fault]]] = {
    "networks": _networks,
    "solvers": _solvers,
    "flatness": _flatness,
    "profiles": _profiles,
    "bends": _bends,
    "sections": _sections,
}
