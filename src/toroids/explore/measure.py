"""What is measured on the spot: the paths between two networks of a run, the section of three.

Everything is what the study measures, with the settings of its file, by the same functions; only
the networks are chosen by a reader. The first of them stays, the others are aligned to it.
"""

import time
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import combinations

import torch

from toroids.align.alignment import Alignment, align
from toroids.canonical.form import CanonicalParams
from toroids.compare.family import compare_many
from toroids.evaluation.landscape import Landscape
from toroids.geometry.hypercube import Hypercube
from toroids.geometry.manifold import manifold_of
from toroids.geometry.toroid import Toroid
from toroids.landscape.between import Between
from toroids.landscape.median import median_section
from toroids.landscape.orders import FlipProfile
from toroids.landscape.profile import Profile
from toroids.landscape.section import section
from toroids.params import Params
from toroids.progress import Progress
from toroids.report.comparison import family_page
from toroids.statistics.row import Plain
from toroids.study.opened import OpenRun
from toroids.study.perform.pair import distances, similarity

Three = tuple[CanonicalParams, CanonicalParams, CanonicalParams]


class Measurer:
    """Measures networks of one architecture of a run, on the device of the study if it is here."""

    def __init__(self, run: OpenRun, architecture: str) -> None:
        """Reads what all measurements of an architecture share.

        Args:
            run: where the networks are.
            architecture: its name in the study.

        Raises:
            ToroidsError: the architecture's group has not been found yet, or the data is not here.
        """
        self._run, self._config = run, run.config
        there = self._config.device == "cpu" or torch.cuda.is_available()
        self._device = torch.device(self._config.device if there else "cpu")
        self._group = run.group(architecture)
        self._model = run.model(architecture).to(self._device)
        self._train = run.data().to(self._device).train

    def between(self, names: Sequence[str], points: int, progress: Progress | None = None) -> Plain:
        """Measures distances before and after alignment, and the error along all paths.

        Args:
            names: of two networks, the one that stays and the one that is aligned to it.
            points: positions on every path, both ends included; twice the blocks and one more where
                flips are greedy.
            progress: called with a text, the number of points done, and of all points.

        Returns:
            The fields of a study's row of kind "pair"; of every profile also the standard error of
            its barrier, and its notes.

        Raises:
            ToroidsError: a network cannot be read, or the two cannot be joined.
        """
        start = time.perf_counter()
        a, b = (self._params(name) for name in names)
        alignment = self._aligned(b, a, progress)
        asked = self._config.profiles
        between = Between(self._landscape, alignment, a, b, points, asked.orders, asked.blocks)
        return {
            "a": names[0],
            "b": names[1],
            "method": alignment.method,
            "similarity": similarity(alignment),
            **distances(alignment, self._group),
            "profiles": {way: _curve(between.profile(way, progress)) for way in between.ways},
            "examples": len(self._train[1]),
            "seconds": time.perf_counter() - start,
        }

    def through(
        self, names: Sequence[str], resolution: int, progress: Progress | None = None
    ) -> Plain:
        """Measures the error on the section through three networks.

        Args:
            names: of the networks; the second and the third are aligned to the first.
            resolution: lines of the grid in both directions, of binary networks points of a leg.
            progress: called with a text, the number of points done, and of all points.

        Returns:
            The fields of a study's row of kind "section", the standard errors of the networks'
            errors, and the three distances after alignment.

        Raises:
            ToroidsError: a network cannot be read, or the three have no section.
        """
        start = time.perf_counter()
        first, *others = (self._params(name) for name in names)
        b, c = (self._aligned(other, first, progress) for other in others)
        three = (b.reference, b.params, c.params)
        measure = self._faces if isinstance(self._manifold, Hypercube) else self._plane
        return {
            "networks": list(names),
            "method": b.method,
            **measure(three, resolution, progress),
            "apart": [
                {"pair": pair, **self._manifold.measures(*(three[i] for i in pair))}
                for pair in combinations(range(3), 2)
            ],
            "examples": len(self._train[1]),
            "seconds": time.perf_counter() - start,
        }

    def among(self, names: Sequence[str], _: int = 0, progress: Progress | None = None) -> Plain:
        """Compares several networks in pairs.

        Args:
            names: of the networks.
            progress: called with a text, the number of pairs done, and of all pairs.

        Returns:
            The page of their family tree, under "page".

        Raises:
            ToroidsError: a network cannot be read or compared.
        """
        networks = [self._params(name) for name in names]
        return {"page": family_page(compare_many(self._group, networks, names, progress=progress))}

    def _params(self, name: str) -> Params:
        return {key: value.to(self._device) for key, value in self._run.params(name).items()}

    def _aligned(self, params: Params, to: Params, progress: Progress | None) -> Alignment:
        method = self._config.alignment.method
        return align(self._group, params, to=to, method=method, progress=progress)

    @cached_property
    def _landscape(self) -> Landscape:
        """Of the training examples, on the manifold of the architecture's networks."""
        return Landscape(self._model, self._train, on=self._manifold)

    @cached_property
    def _manifold(self) -> Toroid | Hypercube:
        return manifold_of(self._group)

    def _plane(self, three: Three, resolution: int, progress: Progress | None) -> Plain:
        found = section(self._landscape, three, resolution, progress=progress)
        columns, rows = (
            [int((axis == position).nonzero()) for position in positions]
            for axis, positions in zip((found.x, found.y), found.points.T.tolist(), strict=True)
        )
        return {
            **_fields(found, ("x", "y", "error", "error_stderr", "loss", "points", "errors")),
            "errors_stderr": found.error_stderr[rows, columns],
            "notes": found.notes,
        }

    def _faces(self, three: Three, resolution: int, progress: Progress | None) -> Plain:
        found = median_section(self._landscape, three, resolution, progress=progress)
        stderr = found.error_stderr
        return {
            **_fields(found, ("faces", "distances", "error", "error_stderr", "loss", "errors")),
            "errors_stderr": [stderr[0, -1, 0], stderr[0, 0, -1], stderr[1, 0, -1]],
            "median_error": found.median_error,
            "median_error_stderr": stderr[0, 0, 0],
            "notes": found.notes,
        }


def _curve(found: Profile | FlipProfile) -> Plain:
    names = ("t", "error", "error_stderr", "loss", "barrier", "barrier_stderr", "notes")
    curve = _fields(found, names)
    if isinstance(found, FlipProfile):
        curve |= {"orders": len(found.curves), "error_spread": found.error_spread}
    return curve


def _fields(found: object, names: Iterable[str]) -> Plain:
    return {name: getattr(found, name) for name in names}
