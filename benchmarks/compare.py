"""Tells relatives from strangers, beside published scores of kinship.

Run it with `python benchmarks/compare.py`. `--measure`, with or without names of families, keeps
what it measures of each in benchmarks/compare.json; `--table` prints the table of
benchmarks/compare.md from it (curves of power come from compare_power.py). `--scale`, with or
without names of families, trains the strangers that `toroids.compare` takes as its scale, and
writes src/toroids/compare/strangers.json anew; the benchmark's own strangers have other seeds.

Every family of small networks has parents, each pair of which are strangers, and children of the
first two parents by every kind of edit. Children are compared with their parents as they are and
moved by a random element of the whole group, in float64. The area under the curve is the
probability that a child scores higher than strangers of its architecture do.
"""

import itertools
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from harness import lineage
from harness.kinship import PEERS
from harness.lineage import Family
from harness.result import Result
from harness.script import main

import toroids as td
from toroids.compare.scale import FILE, Scale, Strangers, written

# Language models take most of the time, so that there are fewer of them: 92 pairs in all.
PARENTS = {"MLP": 9, "ResNet": 9, "GPT": 5, "Llama": 5}
CHILDREN_OF = 2
SCALE_SEED, SCALE_NETWORKS, SCALE_TEXT = 1000, 7, 5
NUMBERS = Path(__file__).parent / "compare.json"
OURS = "toroids"
# Not to be told by weights: a student that learns outputs alone starts from weights of its own.
AFRESH = "distilled afresh"


Numbers = dict[str, list[float]]  # by method, one per pair


@dataclass
class Scores:
    """What every method says of every pair.

    Attributes:
        strangers: by method.
        children: by kind of edit, of children as they are.
        disguised: the same of children that were moved.
        verdicts: by kind of edit, "strangers" included; of disguised children in the same order.
        seconds: of our comparisons.
    """

    strangers: Numbers = field(default_factory=dict)
    children: dict[str, Numbers] = field(default_factory=dict)
    disguised: dict[str, Numbers] = field(default_factory=dict)
    verdicts: dict[str, list[str]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def add(self, into: Numbers, family: Family, a: td.Params, b: td.Params, kind: str) -> None:
        """Asks every method about one pair; our number is the mean cosine beyond chance."""
        left, right = wide(a), wide(b)
        begun = time.perf_counter()
        found = td.compare(family.group, left, right)
        self.seconds.append(time.perf_counter() - begun)
        self.verdicts.setdefault(kind, []).append(found.verdict)
        into.setdefault(OURS, []).append(1.0 if found.beyond is None else found.beyond.mean)
        for name, method in PEERS.items():
            value = method(family.group, left, right)
            if value is not None:
                into.setdefault(name, []).append(value)


def wide(params: td.Params) -> dict[str, torch.Tensor]:
    """Weights in float64."""
    return {name: x.double() if x.is_floating_point() else x for name, x in params.items()}


def measured(family: Family, quick: bool) -> Scores:
    """Trains the networks of one family, and compares."""
    scores = Scores()
    count = 3 if quick else PARENTS[family.name]
    parents = [lineage.parent(family, seed) for seed in range(count)]
    for a, b in itertools.combinations(parents, 2):
        scores.add(scores.strangers, family, a, b, "strangers")
    for number in range(1 if quick else CHILDREN_OF):
        own, stranger = parents[number], parents[number - 1]
        for kind, child in lineage.children(family, own, stranger, number):
            generator = torch.Generator().manual_seed(number)
            moved = family.group.apply(family.group.random(generator), wide(child))
            scores.add(scores.children.setdefault(kind, {}), family, own, child, kind)
            scores.add(scores.disguised.setdefault(kind, {}), family, own, moved, kind)
    print(f"{family.name}: done", file=sys.stderr, flush=True)
    return scores


def everything(quick: bool) -> list[Scores]:
    """Measures all families."""
    return [measured(family, quick) for family in lineage.families(quick)]


def area(children: Sequence[float], strangers: Sequence[float]) -> float:
    """The probability that a child scores above strangers; ties count half."""
    wins = sum((x > y) + 0.5 * (x == y) for x in children for y in strangers)
    return wins / (len(children) * len(strangers))


def areas(found: Sequence[Scores], where: str, kind: str, method: str) -> list[float]:
    """The area of every family that a method can be asked about.

    Args:
        found: by family.
        where: "children" or "disguised".
        kind: of edit.
        method: its name.

    Returns:
        Areas of children against strangers of their own architecture.
    """
    return [
        area(getattr(scores, where)[kind][method], scores.strangers[method])
        for scores in found
        if method in scores.strangers
    ]


def rows(quick: bool) -> Iterator[Result]:
    """One row per kind of edit and peer: areas under the curve, of disguised children."""
    found = everything(quick)
    for kind in found[0].disguised:
        ours = areas(found, "disguised", kind, OURS)
        note = "one value per family"
        goal = None if kind == AFRESH else 1.0
        yield Result(
            f"{kind}, disguised", "area under the curve", ours, "limit", [1.0], goal=goal,
            at_least=True, note=note,
        )  # fmt: skip
        for name in PEERS:
            theirs = areas(found, "disguised", kind, name)
            plain = statistics.mean(areas(found, "children", kind, name))
            yield Result(
                f"{kind}, disguised", "area under the curve", ours, name, theirs,
                note=f"{note}; {name} of children as they are {plain:.3f}",
            )  # fmt: skip
    verdicts = [verdict for scores in found for verdict in scores.verdicts["strangers"]]
    alarms = sum(verdict not in ("strangers", "undecided") for verdict in verdicts)
    yield Result(
        "networks trained apart taken for relatives", "share", [alarms / len(verdicts)],
        note=f"{len(verdicts)} pairs, none of them of the scale",
    )  # fmt: skip


def measure(names: Sequence[str]) -> None:
    """Measures families of some names, all where there are none, and keeps their scores."""
    for family in lineage.families():
        if family.name in names or not names:
            scores = asdict(measured(family, False))
            kept = {**_kept(), family.name: _rounded(scores)}
            lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in kept.items())
            NUMBERS.write_text(f"{{{lines}}}\n", encoding="utf-8")


def _kept() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(NUMBERS.read_text("utf-8")) if NUMBERS.exists() else {}
    return found


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return round(value, 6) if isinstance(value, float) else value


def table() -> None:
    """Prints the table of the page, of the families whose scores were kept."""
    kept = _kept()
    names = [family.name for family in lineage.families() if family.name in kept]
    print(f"Families: {', '.join(names)}.")
    show([Scores(**kept[name]) for name in names])


def show(found: Sequence[Scores]) -> None:
    """Prints the areas under the curve."""
    names = [OURS, *PEERS]
    verdicts = [x for scores in found for x in scores.verdicts["strangers"]]
    kinds = [kind for kind in found[0].children if kind != AFRESH]
    related = sum(len(scores.children[kind][OURS]) for scores in found for kind in kinds)
    seconds = sum(sum(scores.seconds) for scores in found)
    print(
        f"{len(verdicts)} unrelated pairs, {related} related ones, {related} disguised ones;",
        end=" ",
    )
    print(f"{seconds:.0f} s of comparing.\n")
    print(f"| edit | children | {' | '.join(names)} | verdicts |")
    print("|---" * (len(names) + 3) + "|")
    for where in ("children", "disguised"):
        for kind in found[0].children:
            means = [f"{statistics.mean(areas(found, where, kind, n)):.3f}" for n in names]
            count = sum(len(getattr(scores, where)[kind][OURS]) for scores in found)
            given = [
                verdict
                for scores in found
                for verdict in scores.verdicts[kind][where == "disguised" :: 2]
            ]
            label = f"{kind}, disguised" if where == "disguised" else kind
            print(f"| {label} | {count} | {' | '.join(means)} | {counted(given)} |")
    print(f"| strangers | {len(verdicts)} | {'| ' * len(names)}| {counted(verdicts)} |\n")


def counted(verdicts: Sequence[str]) -> str:
    """How often each verdict was given."""
    kinds = dict.fromkeys(verdicts)
    return ", ".join(f"{verdicts.count(kind)} {kind}" for kind in kinds)


def strangers(family: Family, quick: bool = False) -> Strangers:
    """Trains networks of one family apart, and scores all pairs."""
    count = SCALE_TEXT if "GPT" in family.name or "Llama" in family.name else SCALE_NETWORKS
    seeds = range(SCALE_SEED, SCALE_SEED + (3 if quick else count))
    networks = [wide(lineage.parent(family, seed)) for seed in seeds]
    found = [td.compare(family.group, a, b) for a, b in itertools.combinations(networks, 2)]
    size = sum(networks[0][name].numel() for name in family.group.parameters)
    print(f"{family.name}: done", file=sys.stderr, flush=True)
    scores, beyond = [x.score for x in found], [x.beyond for x in found if x.beyond is not None]
    return Strangers(family.name, len(seeds), size, scores, beyond)


def write_scale(path: Path, families: Sequence[Strangers]) -> None:
    """Writes the scores of strangers, and how they were made."""
    names = " ".join(f"'{family.name}'" for family in families)
    made = (
        f"python benchmarks/compare.py --scale {names}, toroids {version('toroids')}, torch "
        f"{torch.__version__}"
    )
    text = written(Scale(made, families))
    path.write_text(text, encoding="utf-8")


def measure_scale(names: Sequence[str]) -> None:
    """Measures the scale anew, on families of some names; on all where there are none."""
    chosen = [x for x in lineage.more_families() if x.name in names or not names]
    write_scale(
        Path(td.__file__).parent / "compare" / FILE, [strangers(family) for family in chosen]
    )


if __name__ == "__main__":
    if "--scale" in sys.argv:
        measure_scale(sys.argv[sys.argv.index("--scale") + 1 :])
    elif "--measure" in sys.argv:
        measure(sys.argv[sys.argv.index("--measure") + 1 :])
    else:
        main(rows, table=table)
