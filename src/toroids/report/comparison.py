"""Two networks compared, or a family of them, as one HTML page; computes no science."""

from collections.abc import Iterator, Sequence
from html import escape

import plotly.graph_objects as go

from toroids.compare.compare import Comparison
from toroids.compare.family import Branch, Family
from toroids.compare.scale import shipped
from toroids.report.document import TOGGLE, Elements, document
from toroids.report.figures.drawing import Drawing
from toroids.report.figures.style import COLOURS, GREY, SYMBOLS, colour_bar, laid_out
from toroids.report.tables import Column

# What the page colours a verdict with: certain, neither, or none.
CLASSES = {
    "same function": "holds",
    "copy in disguise": "holds",
    "related": "holds",
    "strangers": "untested",
    "undecided": "undecided",
}
STATES = ("untouched", "lightly changed", "new")


def comparison_page(found: Comparison, names: Sequence[str], lines: Sequence[str] = ()) -> str:
    """Writes the page of two networks.

    Args:
        found: what they have in common.
        names: of both.
        lines: what else stands below, a paragraph each.

    Returns:
        HTML that works offline.
    """
    elements = Elements("comparison")
    title = f"{names[0]} and {names[1]}"
    notes = [*(f"Note: {note}" for note in found.notes), *lines]
    body = (
        f"<header>{TOGGLE}<h1>{escape(title)}</h1>{_lead(found)}</header><main>"
        f"{_evidence(found, elements)}{_depth([(title, found)], elements)}"
        f"{_spaces(found, elements)}{_paragraphs(notes)}</main>"
    )
    return document(title, body)


def family_page(found: Family, lines: Sequence[str] = ()) -> str:
    """Writes the page of several networks: the tree, the matrix, every pair.

    Args:
        found: what they have in common.
        lines: what else stands below, a paragraph each.

    Returns:
        HTML that works offline.
    """
    elements = Elements("family")
    title = f"{len(found.names)} networks"
    pairs = [
        (f"{found.names[i]} and {found.names[j]}", comparison)
        for (i, j), comparison in found.comparisons.items()
    ]
    columns = [
        Column("Pair", [name for name, _ in pairs], False),
        Column("Verdict", [c.verdict for _, c in pairs], False),
        Column("Score", [f"{c.score.mean:.3f}" for _, c in pairs]),
        Column(
            "Beyond chance", ["" if c.beyond is None else f"{c.beyond.mean:.3f}" for _, c in pairs]
        ),
        Column("Distance", [f"{c.distance:.4g}" for _, c in pairs]),
        Column("Raw distance", [f"{c.raw_distance:.4g}" for _, c in pairs]),
        Column("Why", [c.reason for _, c in pairs], False),
    ]
    records = [{"pair": name, **_flat(c)} for name, c in pairs]
    table = elements.table("pairs", "Every pair of networks.", columns, records)
    body = (
        f'<header>{TOGGLE}<h1>{escape(title)}</h1><p class="lead">{escape(_families(found))}</p>'
        f"</header><main><section><h2>The family tree</h2>"
        f"{elements.figure(_tree(found))}{elements.figure(_matrix(found))}</section>"
        f"<section><h2>Pairs</h2>{table}</section>{_depth(pairs, elements)}"
        f"{_paragraphs(lines)}</main>"
    )
    return document(title, body)


def _lead(found: Comparison) -> str:
    kind = CLASSES[found.verdict]
    verdict = found.verdict[0].upper() + found.verdict[1:]
    return (
        f'<p class="lead"><span class="verdict {kind}">{escape(verdict)}.</span> '
        f"{escape(found.reason)}</p>"
    )


def facts(found: Comparison) -> list[tuple[str, str]]:
    """What was measured of two networks, as pairs of words and values.

    Args:
        found: what they have in common.

    Returns:
        One pair per line of the page, and of the terminal.
    """
    count = {state: sum(x.state == state for x in found.layers) for state in STATES}
    by_chance = []
    if found.chance is not None and found.beyond is not None:
        by_chance = [
            ("chance", f"{found.chance.mean:.4f} of surrogates, {found.chance.peak:.4f} largest"),
            ("beyond it", f"{found.beyond.mean:.4f}, {found.beyond.peak:.4f} largest"),
        ]
    on_data = [] if found.outputs is None else [("outputs", str(found.outputs))]
    return [
        ("score", f"{found.score.mean:.4f} mean cosine of matrices, aligned"),
        ("largest", f"{found.score.peak:.4f} largest cosine of a matrix"),
        *by_chance,
        *on_data,
        (
            "similarity",
            f"{found.similarity:.4f} aligned, {found.similarity_before:.4f} as they lie; no "
            f"element reaches more than {found.bound:.4f}",
        ),
        ("distance", f"{found.distance:.4g} aligned, {found.distance_before:.4g} as they lie"),
        ("raw distance", f"{found.raw_distance:.4g} of the weights as they are"),
        ("moved", found.done),
        ("layers", ", ".join(f"{number} {state}" for state, number in count.items())),
        ("false alarms", str(found.false_alarms)),
    ]


def _evidence(found: Comparison, elements: Elements) -> str:
    known = facts(found)
    columns = [
        Column("Evidence", [name for name, _ in known], False),
        Column("Found", [value for _, value in known], False),
    ]
    table = elements.table("evidence", "What was measured.", columns, [_flat(found)])
    return f"<section><h2>The evidence</h2>{table}</section>"


def _flat(found: Comparison) -> dict[str, object]:
    return {
        "verdict": found.verdict,
        "score": found.score.mean,
        "largest": found.score.peak,
        "beyond_chance": None if found.beyond is None else found.beyond.mean,
        "similarity": found.similarity,
        "distance": found.distance,
        "raw_distance": found.raw_distance,
    }


def _depth(pairs: Sequence[tuple[str, Comparison]], elements: Elements) -> str:
    """Draws similarity along the depth, one line per pair; of one pair also where it came from."""
    figure, records = go.Figure(), []
    single = len(pairs) == 1
    for number, (name, found) in enumerate(pairs):
        layers = found.layers
        places = [layer.name for layer in layers]
        series: list[tuple[str, list[float | None]]] = [
            ("aligned" if single else name, [x.similarity for x in layers])
        ]
        series += [("as they lie", [x.before for x in layers])] * single
        series += [("chance", [x.chance for x in layers])] * (single and found.chance is not None)
        for position, (label, values) in enumerate(series):
            colour = GREY if position else COLOURS[number % len(COLOURS)]
            dash = "dot" if label == "chance" else "solid"
            figure.add_scatter(
                x=[escape(place) for place in places], y=values, name=escape(label),
                mode="lines+markers", line={"color": colour, "dash": dash},
                marker={"symbol": SYMBOLS[(number + position) % len(SYMBOLS)], "size": 8},
                text=[layer.state for layer in layers],
                hovertemplate="%{x}<br>%{y:.4f}, %{text}<extra></extra>",
            )  # fmt: skip
        records += [{"pair": name, **vars(layer)} for layer in layers]
    figure.update_yaxes(title="cosine of the layers' weights", range=[-0.1, 1.05])
    figure.update_xaxes(title="layer, from the input on")
    limit = shipped().limit("peak", True).strangers
    caption = (
        "Cosine of each layer's weights after alignment"
        f"{', and as the networks lie' * single}. Chance is what surrogates reach, random networks "
        "with the same second moments and singular values; a layer is new where no more of its "
        f"cosine is beyond chance than networks trained apart have ({limit:.2f})."
    )
    drawing = Drawing(
        "depth", "Likeness along the depth", caption, laid_out(figure), records, "layers"
    )
    table = _layers(pairs[0][1], elements) if single else ""
    return f"<section><h2>Layer by layer</h2>{elements.figure(drawing)}{table}</section>"


def _layers(found: Comparison, elements: Elements) -> str:
    layers = found.layers
    columns = [
        Column("Layer", [x.name for x in layers], False),
        Column("State", [x.state for x in layers], False),
        Column("Cosine", [f"{x.similarity:.4f}" for x in layers]),
        Column("As they lie", [f"{x.before:.4f}" for x in layers]),
        Column("Chance", ["" if x.chance is None else f"{x.chance:.4f}" for x in layers]),
        Column("Relative change", [f"{x.change:.2g}" for x in layers]),
        Column("Parameters", [f"{x.parameters:,}" for x in layers]),
    ]
    return elements.table("layers", "Every layer.", columns, [vars(x) for x in layers])


def _spaces(found: Comparison, elements: Elements) -> str:
    if not found.moved:
        return ""
    columns = [
        Column("Space", [x.space for x in found.moved], False),
        Column("Units", [str(x.units) for x in found.moved]),
        Column("What was done", [str(x) for x in found.moved], False),
        Column("Distance", [_shown(found.distances.get(x.space)) for x in found.moved]),
    ]
    records = [{**vars(x), "distance": found.distances.get(x.space)} for x in found.moved]
    caption = "What moves the second network onto the first, and how far apart the spheres stay."
    table = elements.table("spaces", caption, columns, records)
    return f"<section><h2>What was moved</h2>{table}</section>"


def _shown(distance: float | None) -> str:
    return "" if distance is None else f"{distance:.4g}"


def _paragraphs(lines: Sequence[str]) -> str:
    return "".join(f"<p>{escape(line)}</p>" for line in lines)


def _families(found: Family) -> str:
    verdicts = [c.verdict for c in found.comparisons.values()]
    counts = ", ".join(f"{verdicts.count(kind)} {kind}" for kind in dict.fromkeys(verdicts))
    return f"Of {len(verdicts)} pairs: {counts}."


def _matrix(found: Family) -> Drawing:
    names = [found.names[i] for i in found.order]
    scores = found.scores[list(found.order)][:, list(found.order)]
    distances = found.distances[list(found.order)][:, list(found.order)]
    figure = go.Figure()
    figure.add_heatmap(
        x=[escape(name) for name in names], y=[escape(name) for name in names],
        z=scores.tolist(), customdata=distances.tolist(), coloraxis="coloraxis",
        hovertemplate="%{x}, %{y}<br>score %{z:.4f}<br>distance %{customdata:.4g}<extra></extra>",
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed")
    records = [
        {"first": a, "second": b, "score": float(scores[i, j]), "distance": float(distances[i, j])}
        for i, a in enumerate(names)
        for j, b in enumerate(names)
    ]
    caption = "Mean cosine of the matrices of every pair, aligned, in the order of the tree."
    drawn = laid_out(figure, 420, square=True, coloraxis=colour_bar("score"))
    return Drawing("matrix", "All pairs", caption, drawn, records, "pairs")


def _tree(found: Family) -> Drawing:
    figure = go.Figure()
    places = {found.names[number]: place for place, number in enumerate(found.order)}
    records = []
    for heights, across, branch in _lines(found.tree, places):
        figure.add_scatter(
            x=heights, y=across, mode="lines", line={"color": COLOURS[0]}, showlegend=False,
            hovertemplate=f"{branch.height:.4f}<extra></extra>",
        )  # fmt: skip
        records.append({"height": branch.height, "members": " ".join(branch.members)})
    names = sorted(places, key=places.__getitem__)
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=[escape(name) for name in names],
        range=[len(names) - 0.5, -0.5],
    )  # fmt: skip
    figure.update_xaxes(title="1 − mean score across", rangemode="tozero")
    caption = "Average linkage of 1 minus the score: the further left two parts join, the closer."
    drawn = laid_out(figure, max(160, 36 * len(names)))
    return Drawing("tree", "Family tree", caption, drawn, records, "pairs")


Line = tuple[list[float], list[float], Branch]


def _lines(branch: Branch, places: dict[str, int]) -> Iterator[Line]:
    """The bracket of every join: out of one part, across, and back to the other."""
    if not branch.parts:
        return
    heights = [part.height for part in branch.parts]
    across = [_place(part, places) for part in branch.parts]
    yield (
        [heights[0], branch.height, branch.height, heights[1]],
        [across[0], across[0], across[1], across[1]],
        branch,
    )
    for part in branch.parts:
        yield from _lines(part, places)


def _place(branch: Branch, places: dict[str, int]) -> float:
    """Where a part leaves its bracket: in the middle of its own parts."""
    if not branch.parts:
        return places[branch.members[0]]
    return sum(_place(part, places) for part in branch.parts) / 2
