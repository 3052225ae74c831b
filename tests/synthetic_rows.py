"""Rows of a made-up finished study with a planted truth, in the schema of a run.

Every network has a sharpness of its own, and what is measured of it or of its pairs follows from
that: pairs that share a network are correlated, as in a real study.
"""

import itertools
import json
import math
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import torch

import toroids as td
from toroids.statistics.claims.evidence import Thresholds
from toroids.statistics.derive import derive
from toroids.statistics.measured import Diverged
from toroids.statistics.row import read
from toroids.study.complete import DERIVED, Failure
from toroids.study.perform.kinds import KINDS
from toroids.study.rows import Run

SIGMAS = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
FLIPPED = [0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2]
VERSIONS = {"python": "3.12.0", "toroids": "0.1.0", "torch": "2.13.0", "numpy": "2.4.6"}


@dataclass(frozen=True)
class Solver:
    """A solver of a made-up study: its settings, and how sharp its networks are."""

    increase: float  # mean increase of the train error at the reference disturbance
    method: str = "sgd"
    lr: float = 0.1
    batch_size: int = 50


SOLVERS = {
    "sgd": Solver(0.10),
    "replicated_sgd": Solver(0.05, "replicated_sgd"),
    "adversarial_sgd": Solver(0.25, "adversarial_sgd"),
}


@dataclass(frozen=True)
class Truth:
    """What is planted. The defaults make every claim of the paper hold."""

    spread: float = 0.1  # standard deviation of a network's increase, relative to its solver's
    test_slope: float = 0.2  # test error per increase
    test_noise: float = 0.001
    shrink: float = 0.6  # distance after alignment over that before
    closeness: float = 2.0  # radius of a solver's cloud per increase
    barrier_slope: float = 0.1  # barrier on the aligned geodesic per mean increase of its two ends
    pair_noise: float = 0.0002  # of a pair's own, in every barrier
    removed: dict = field(  # barrier above that of the aligned geodesic, by path
        default_factory=lambda: {"raw": 0.5, "normalised": 0.45, "aligned": 0.08, "both": 0.04}
    )
    greedy: float = 0.5  # barrier of greedy flips over that of random ones
    bend: float = 0.001  # barrier over a trained bend, times a network's increase over the mean


TYPES = {
    **{
        kind.row.kind if kind.row else kind.name: kind.row or kind.result for kind in KINDS.values()
    },
    **DERIVED,
    **{each.kind: each for each in (Diverged, Failure, Run)},
}


def typed(rows):
    """Rows of plain data as the values that they are."""
    return [read(TYPES[row["kind"]], row) for row in rows]


def renamed(rows, old, new):
    """The same rows with another text in the place of one."""
    return typed(json.loads(json.dumps([row.data for row in rows]).replace(old, new)))


def derived(rows):
    """What follows from rows that end with that of the run."""
    return derive(rows, rows[-1].config["networks"], thresholds_of(rows[-1].config))


def thresholds_of(config):
    return Thresholds(reference=config["flatness"]["reference"], **config["claims"])


def synthetic_rows(architectures=("mlp",), **settings):
    """Makes the rows of a finished study; settings as those of `plain_rows`, with what follows."""
    *rows, run = typed(plain_rows(architectures, **settings))
    return [*rows, *derived([*rows, run]), run]


def plain_rows(
    architectures=("mlp",),
    *,
    binary=False,
    solvers=None,
    seeds=6,
    truth=None,
    across="all",
    pairs=True,
    bends=True,
    sections=True,
    diverged=0,
    failed=0,
    finished=True,
    seed=0,
):
    """Makes the measured rows of a finished study, and that of the run, as plain data.

    `across` is "all" or the number of profiled pairs for every two solvers; the last `diverged`
    seeds of every solver diverge.
    """
    study = _Study(
        architectures, binary, solvers or SOLVERS, seeds, truth or Truth(), across, seed, diverged
    )
    rows = []
    for architecture in architectures:
        rows += study.of_architecture(architecture, pairs, bends, sections)
    for number in range(failed):
        rows.append(
            {
                "kind": "failed",
                "task": f"bend-{number:020x}",
                "task_kind": "bend",
                "label": f"bend of pair {number}",
                "note": "the worker was lost three times.",
            }
        )
    return [*rows, study.run(rows, finished)]


@cache
def _group(binary):
    if not binary:
        model = td.models.fully_connected([4, 8, 8, 3], seed=0)
        return td.symmetry.fully_connected_group(model.state_dict(), output="classifier")
    model = td.models.binary_fully_connected([4, 9, 9, 3], "none", 0.5, 0)
    return td.discover(model, torch.rand(8, 4, generator=torch.Generator().manual_seed(0)))


class _Study:
    def __init__(self, architectures, binary, solvers, seeds, truth, across, seed, diverged):
        self.architectures, self.binary, self.solvers = architectures, binary, solvers
        self.seeds, self.truth, self.across, self.diverged = seeds, truth, across, diverged
        self.sigmas = FLIPPED if binary else SIGMAS
        self.reference = 0.02 if binary else 0.5
        self.generator = np.random.default_rng(seed)

    def of_architecture(self, architecture, pairs, bends, sections):
        networks = [
            self.network(architecture, name, number)
            for name in self.solvers
            for number in range(self.seeds)
        ]
        rows = [self.symmetry(architecture), *networks]
        measured = [row for row in networks if row["kind"] == "network"]
        for a, b in itertools.combinations(measured if pairs else (), 2):
            within = a["solver"] == b["solver"]
            order = (b["seed"] - a["seed"]) % self.seeds * self.seeds + a["seed"]
            profiled = within or self.across == "all" or order < self.across
            rows.append(self.pair(a, b, profiled))
            if bends and within:
                rows.append(self.bend(a, b))
        if sections:
            for name in self.solvers:
                three = [row for row in measured if row["solver"] == name][:3]
                rows += [self.section(*three)] if len(three) == 3 else []
                rows += [self.trajectory(row) for row in three[:1] if not self.binary]
        return rows

    def symmetry(self, architecture):
        group = _group(self.binary)
        return {
            "kind": "symmetry",
            "architecture": architecture,
            "binary": self.binary,
            "deviation": 2e-15,
            "log10_order": group.log10_order,
            "dimension": group.dimension,
            "parameters": 139,
            "table": str(group),
            "group": group.to_json(),
            "seconds": 0.01,
        }

    def settings(self, name):
        solver = self.solvers[name]
        return {
            "method": solver.method,
            "budget": 60,
            "hold": 10,
            "batch_size": solver.batch_size,
            "lr": solver.lr,
            "schedule": "cosine",
        }

    def network(self, architecture, name, number):
        common = {
            "name": f"{architecture}-{name}-{number}",
            "architecture": architecture,
            "solver": name,
            "seed": number,
            "random_seed": 1000 + number,
            "config": self.settings(name),
            "epochs": 12 + number,
            "gradient_steps": 12 * (12 + number),
            "history": [_epoch(epoch, 12 + number) for epoch in range(12 + number)],
            "seconds": 1.5 + 0.1 * number,
        }
        if number >= self.seeds - self.diverged:
            note = "the train loss was not finite after epoch 3."
            return {"kind": "diverged", **common, "ended": "diverged", "note": note}
        increase = self.increase(name)
        test = 0.03 + self.truth.test_slope * increase
        test = max(0.0, test + self.generator.normal(0, self.truth.test_noise))
        return {
            "kind": "network",
            **common,
            "ended": "zero error",
            "train_error": 0.0,
            "train_loss": 0.002,
            "test_error": test,
            "test_error_stderr": math.sqrt(test * (1 - test) / 1197),
            "test_loss": 4 * test,
            "flatness": {
                "sigma": self.sigmas,
                "increase": [increase * (s / self.reference) ** 2 for s in self.sigmas],
                "stderr": [0.03 * increase * (s / self.reference) ** 2 for s in self.sigmas],
                "samples": 32,
            },
            "notes": ["1 unit of hidden1 never fires."] if number == 0 else [],
            "measure_seconds": 0.4,
        }

    def increase(self, name):
        level = self.solvers[name].increase
        return level * max(0.1, 1 + self.truth.spread * self.generator.normal())

    def distance(self, a, b):
        """Before and after alignment: every network lies on an axis of its own."""
        radii = [0.5 + self.truth.closeness * self.at_reference(row) for row in (a, b)]
        after = math.hypot(*radii, 0.0 if a["solver"] == b["solver"] else 0.3)
        after *= 1 + 0.01 * self.generator.normal()
        return after / self.truth.shrink, after

    def at_reference(self, row):
        flatness = row["flatness"]
        return flatness["increase"][flatness["sigma"].index(self.reference)]

    def pair(self, a, b, profiled):
        before, after = self.distance(a, b)
        row = {
            **_ends(a, b),
            "method": "descent" if self.binary else "greedy",
            "notes": [],
            "similarity": {"before": math.cos(before / 2), "after": math.cos(after / 2)},
        }
        moments = {"before": before, "after": after}
        scale = 0.25 if self.binary else 1.0
        moments = {moment: scale * value for moment, value in moments.items()}
        if self.binary:
            row["hamming"] = moments
        else:
            row["mean_angle"] = moments
            row["distance"] = {moment: 4 * value for moment, value in moments.items()}
        row["layers"] = [
            {"space": space, **{moment: share * value for moment, value in moments.items()}}
            for space, share in (("hidden1", 0.6), ("hidden2", 0.8))
        ]
        row["profiles"] = self.profiles(a, b) if profiled else {}
        return {"kind": "pair", **row, "seconds": 0.8}

    def profiles(self, a, b):
        mean = (self.at_reference(a) + self.at_reference(b)) / 2
        barrier = self.truth.barrier_slope * mean
        if not self.binary:
            above = {"geodesic": 0.0, **self.truth.removed}
            return {path: self.profile(barrier + extra) for path, extra in above.items()}
        heights = {
            "flips_raw": barrier + self.truth.removed["raw"],
            "flips": barrier,
            "flips_greedy": self.truth.greedy * barrier,
        }
        return {path: self.profile(height, orders=4) for path, height in heights.items()}

    def profile(self, barrier, points=25, **more):
        barrier = max(0.0, barrier + self.truth.pair_noise * self.generator.normal())
        t = np.linspace(0, 1, points)
        error = 4 * barrier * t * (1 - t)
        return {
            "t": t.tolist(),
            "error": error.tolist(),
            "error_stderr": np.sqrt(error * (1 - error) / 600).tolist(),
            "loss": (0.002 + 3 * error).tolist(),
            "barrier": float(error.max()),
            **more,
        }

    def bend(self, a, b):
        level = sum(self.solvers[row["solver"]].increase for row in (a, b))
        height = self.truth.bend * (self.at_reference(a) + self.at_reference(b)) / level
        profiles = {"bend": self.profile(height, points=49)}
        if self.binary:
            profiles["bend"]["orders"] = 4
            profiles["bend_greedy"] = self.profile(self.truth.greedy * height, points=49, orders=1)
        return {"kind": "bend", **_ends(a, b), "profiles": profiles, "seconds": 3.2}

    def section(self, *three):
        row = {
            "kind": "section",
            "networks": [network["name"] for network in three],
            "architecture": three[0]["architecture"],
            "solvers": [network["solver"] for network in three],
            "seconds": 2.5,
        }
        if self.binary:
            ramp = np.linspace(0, 1, 9)
            face = 0.3 * (1 - np.maximum.outer(ramp, ramp))
            return {
                **row,
                "faces": [[0, 1], [0, 2], [1, 2]],
                "distances": [(0.2 * ramp).tolist()] * 3,
                "error": [face.tolist()] * 3,
                "loss": [(3 * face).tolist()] * 3,
            }
        corners = np.array([[0.0, 0.0], [4.0, 0.0], [1.9, 3.5]])
        x, y = np.linspace(-0.8, 4.8, 25), np.linspace(-0.7, 4.2, 23)
        x, y = np.union1d(x, corners[:, 0]), np.union1d(y, corners[:, 1])
        grid = np.stack(np.meshgrid(x, y), axis=-1)
        nearest = np.linalg.norm(grid[:, :, None] - corners, axis=-1).min(axis=-1)
        error = 0.9 * (1 - np.exp(-((nearest / 1.5) ** 4)))
        return {
            **row,
            "x": x.tolist(),
            "y": y.tolist(),
            "error": error.tolist(),
            "loss": (0.002 + 3 * error).tolist(),
            "error_stderr": np.sqrt(error * (1 - error) / 600).tolist(),
            "points": corners.tolist(),
            "errors": [0.0, 0.0, 0.0],
        }

    def trajectory(self, network):
        turn = np.linspace(0, np.pi / 2, 6)
        points = np.stack([3 * np.cos(turn), 2 * np.sin(2 * turn)], axis=1)
        points[-1] = 0
        x, y = np.linspace(-0.6, 3.6, 15), np.linspace(-0.4, 2.4, 11)
        grid = np.stack(np.meshgrid(x, y), axis=-1)
        error = 0.9 * (1 - np.exp(-((np.linalg.norm(grid, axis=-1) / 1.5) ** 2)))
        return {
            "kind": "trajectory",
            **{key: network[key] for key in ("name", "architecture", "solver", "seed")},
            "x": x.tolist(),
            "y": y.tolist(),
            "error": error.tolist(),
            "loss": (0.002 + 3 * error).tolist(),
            "error_stderr": np.sqrt(error * (1 - error) / 600).tolist(),
            "points": points.tolist(),
            "errors": [0.9, 0.4, 0.2, 0.1, 0.01, 0.0],
            "away": [0.5, 0.6, 0.4, 0.3, 0.1, 0.0],
            "explained": [0.7, 0.2],
            "epochs": [0, 2, 5, 7, 10, 12],
            "seconds": 1.5,
        }

    def config(self):
        model = "binary_fully_connected" if self.binary else "fully_connected"
        return {
            "name": "made-up",
            "seeds": list(range(self.seeds)),
            "device": "cpu",
            "data": {"name": "digits", "train": 600, "seed": 0, "subset": None, "label_noise": 0.0},
            "networks": {
                name: {"model": model, "hidden": [9, 9] if self.binary else [8, 8]}
                for name in self.architectures
            },
            "solvers": {name: self.settings(name) for name in self.solvers},
            "alignment": {"method": "descent"},
            "flatness": {"sigmas": self.sigmas, "samples": 32, "reference": self.reference},
            "profiles": {
                "points": 25,
                "within": "all",
                "across": self.across,
                "orders": 4,
                "blocks": 100,
            },
            "bends": {"count": 15, "steps": 2000},
            "sections": {"count": 1, "resolution": 25},
            "claims": {"tolerance": 0.01, "small": 0.02, "trained": 0.05},
        }

    def run(self, rows, finished):
        kinds = {"network": "train", "diverged": "train"}
        tasks, seconds = {}, {}
        for row in rows:
            kind = kinds.get(row["kind"], row["kind"])
            if kind in ("symmetry", "train", "pair", "bend", "section", "trajectory"):
                tasks[kind] = tasks.get(kind, 0) + 1
                seconds[kind] = seconds.get(kind, 0.0) + row["seconds"]
        return {
            "kind": "run",
            "study": "made-up",
            "config": self.config(),
            "machine": "x86_64, Linux",
            "versions": VERSIONS,
            "engine": "processes",
            "workers": 2,
            "seconds": sum(seconds.values()) / 2,
            "task_seconds": seconds,
            "tasks": tasks,
            "done": sum(tasks.values()),
            "finished": finished,
        }


def _ends(a, b):
    return {
        "a": a["name"],
        "b": b["name"],
        "architecture": a["architecture"],
        "solver_a": a["solver"],
        "solver_b": b["solver"],
    }


def _epoch(epoch, epochs):
    left = 1 - (epoch + 1) / epochs
    return {
        "phase": "train",
        "epoch": epoch + 1,
        "lr": 0.1 * left,
        "error": 0.5 * left**3,
        "loss": 0.002 + 1.5 * left**3,
        "coupling": 0.0,
    }
