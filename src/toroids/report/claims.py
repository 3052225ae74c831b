"""The claims of the paper, and what the study says about each."""

from collections.abc import Mapping, Sequence
from html import escape

from toroids.report.document import Elements
from toroids.report.figures.claims import claim_figure
from toroids.report.study import Architecture, Study
from toroids.report.tables import Column
from toroids.report.text import CLAIMS, label, probability, prose, quantity, value
from toroids.statistics.claims.effect import Effect
from toroids.statistics.claims.verdict import Claim
from toroids.statistics.row import plain

# Word, class and shape: no verdict is told by its colour alone.
VERDICTS: Mapping[str, tuple[str, str]] = {
    "holds": (
        "holds",
        '<circle cx="8" cy="8" r="7.5" fill="currentColor"/>'
        '<path d="M4.5 8.5l2.4 2.4 4.6-5.2" fill="none" stroke="var(--page)" stroke-width="2"/>',
    ),
    "does not hold": (
        "fails",
        '<rect x="1" y="1" width="14" height="14" fill="currentColor"/>'
        '<path d="M5 5l6 6M11 5l-6 6" stroke="var(--page)" stroke-width="2"/>',
    ),
    "undecided": (
        "undecided",
        '<path d="M8 1l7 14H1z" fill="none" stroke="currentColor" stroke-width="1.8"/>'
        '<path d="M8 6v4.5M8 12v1.5" stroke="currentColor" stroke-width="1.8"/>',
    ),
    "not tested": (
        "untested",
        '<circle cx="8" cy="8" r="6.8" fill="none" stroke="currentColor" stroke-width="1.6" '
        'stroke-dasharray="3 2"/>',
    ),
}
SIGNS = {"positive": "above 0", "negative": "below 0"}


def verdict(word: str) -> str:
    """Writes a verdict as word, shape and colour."""
    style, shape = VERDICTS[word]
    return (
        f'<span class="verdict {style}"><svg viewBox="0 0 16 16" aria-hidden="true">{shape}</svg>'
        f"{escape(word)}</span>"
    )


def by_claim(study: Study) -> dict[str, list[tuple[Architecture, Claim]]]:
    """Sorts the claims: for every one, its row for each architecture."""
    found: dict[str, list[tuple[Architecture, Claim]]] = {}
    for architecture in study.architectures:
        for row in architecture.of(Claim):
            found.setdefault(row.claim, []).append((architecture, row))
    return dict(sorted(found.items()))


def claims_overview(study: Study) -> str:
    """Writes the table of all claims: what each says, the verdict, and why."""
    several = len(study.architectures) > 1
    head = ["claim", *(["architecture"] if several else []), "verdict", "why"]
    body = "".join(
        _overview_row(name, found, number, several)
        for name, found in by_claim(study).items()
        for number in range(len(found))
    )
    cells = "".join(f'<th scope="col">{title}</th>' for title in head)
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="The claims and their verdicts">'
        f'<table class="claims"><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _overview_row(
    name: str, found: Sequence[tuple[Architecture, Claim]], number: int, several: bool
) -> str:
    architecture, row = found[number]
    cells = ""
    if number == 0:
        cells += (
            f'<th scope="rowgroup" rowspan="{len(found)}"><a href="#{escape(name)}">{escape(name)}'
            f"</a> {escape(CLAIMS.get(name, ''))}</th>"
        )
    if several:
        cells += f"<td>{escape(label(architecture.name))}</td>"
    return (
        f"<tr>{cells}<td>{verdict(row.verdict)}</td>"
        f'<td class="long">{escape(prose(row.reason))}</td></tr>'
    )


def claim_block(
    name: str, found: Sequence[tuple[Architecture, Claim]], study: Study, elements: Elements
) -> str:
    """Writes what the study says about one claim.

    Args:
        name: of the claim, "R1" to "R8".
        found: its row for every architecture.
        study: what they are part of.
        elements: counts figures.

    Returns:
        A section: statement, then for every architecture verdict, effects and figure.
    """
    parts = [
        f"<h3>{escape(name)}: {escape(CLAIMS.get(name, ''))}</h3>",
        f"<p>Claimed: {escape(prose(found[0][1].statement))}</p>",
    ]
    for architecture, row in found:
        if len(study.architectures) > 1:
            parts.append(f"<h4>{escape(label(architecture.name))}</h4>")
        parts.append(f"<p>{verdict(row.verdict)} {escape(prose(row.reason))}</p>")
        drawing = claim_figure(architecture, row) if row.effects else None
        parts.append(elements.figure(drawing) if drawing else "")
        parts.append(_effects(row, architecture, elements))
    return f'<section id="{escape(name)}">{"".join(parts)}</section>'


def _effects(claim: Claim, architecture: Architecture, elements: Elements) -> str:
    effects = claim.effects
    if not effects:
        return ""
    columns = [
        Column("effect", [label(effect.name) for effect in effects], numeric=False),
        Column("estimate, 95 % interval", [quantity(e, e.unit) for e in effects]),
        Column("expected", [_expected(effect) for effect in effects], numeric=False),
        Column("p", [probability(effect.p) for effect in effects]),
        Column("networks", [_count(effect.networks) for effect in effects]),
        Column("pairs", [_count(effect.pairs) for effect in effects]),
        Column("method", [effect.method for effect in effects], numeric=False),
    ]
    records = [{"claim": claim.claim, **plain(effect)} for effect in effects]
    name = f"{claim.claim}-effects-{architecture.name}"
    return elements.table(name, f"Effects behind {claim.claim}", columns, records)


def _expected(effect: Effect) -> str:
    sign = SIGNS.get(effect.expected)
    if sign is None:
        sign = f"at most {value(effect.bound, effect.unit)}"
    return sign if effect.required else f"{sign} (beside the verdict)"


def _count(number: int | None) -> str:
    return "" if number is None else str(number)
