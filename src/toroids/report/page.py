"""The report: one self-contained HTML file, a pure function of a run's rows."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from toroids.arguments.checked import checked
from toroids.files.seal import sealed_page, sealing
from toroids.report.claims import by_claim, claim_block, claims_overview
from toroids.report.closing import reproduce, times
from toroids.report.document import TOGGLE, Elements, document
from toroids.report.figures.drawing import Drawing
from toroids.report.figures.sizes import sizes
from toroids.report.measurements import anchor, measurements, subjects
from toroids.report.place import report_place
from toroids.report.study import Study
from toroids.report.text import CLAIMS, label, plural
from toroids.report.untrained import untrained
from toroids.statistics.measured import Diverged, Network, Pair
from toroids.statistics.row import Row
from toroids.study.complete import Failure
from toroids.study.perform.kinds import KINDS
from toroids.study.rows import fitting, read_rows


@checked
def write_report(folder: str | Path, force: bool = False) -> Path:
    """Writes `report.html` into the folder of a run, also of one that is not finished.

    Args:
        folder: a run, as `run_study` leaves it.
        force: whether a page that somebody has changed is replaced.

    Returns:
        The report's path.

    Raises:
        ToroidsError: the folder holds no run, or a page that somebody has changed.

    Example:
        >>> import tempfile
        >>> from toroids.report.page import write_report
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
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_report(run_study(study, folder)).name
        'report.html'
    """
    path = report_place(folder, force)
    rows = read_rows(folder)
    with fitting(folder):
        page = sealed_page(render(rows))
    with sealing(path) as stream:
        stream.write(page)
    return path


def render(rows: Sequence[Row]) -> str:
    """Renders the rows of a run as one HTML page that works offline.

    Args:
        rows: all rows of a run; where it is not finished, the page says so.

    Returns:
        The page.

    Raises:
        ToroidsError: there is no row of kind "run", without which nothing is known of the study.
    """
    study = Study(rows)
    elements = Elements(study.run.study)
    claims = _claims(study, elements)
    several = len(study.architectures) > 1
    against = _sizes(sizes(study), elements)
    measured = "".join(measurements(a, elements, several) for a in study.architectures)
    body = (
        f"{_contents(study)}"
        f"<header>{_head(study)}</header>"
        f"<main>{claims}{against}{measured}"
        f'<section id="time"><h2>How long everything took</h2>{times(study, elements)}</section>'
        f'<section id="reproduce"><h2>How to reproduce each number</h2>'
        f"{reproduce(study, elements)}</section></main>"
    )
    return document(f"Study {study.run.study}", body)


# Kinds of tasks that the first lines of a report count in words of their own.
SAID = ("symmetry", "train", "measure", "pair")


def _head(study: Study) -> str:
    return (
        f"{TOGGLE}<h1>Study {escape(study.run.study)}</h1>"
        f'<p class="lead">{escape(_done(study))}</p>{_unfinished(study)}{_diverged(study)}'
        f"{_untrained(study)}"
    )


def _done(study: Study) -> str:
    """What was done, in one line."""
    networks, pairs = study.of(Network), study.of(Pair)
    profiled = sum(bool(row.profiles) for row in pairs)
    names = ", ".join(label(a.name) for a in study.architectures)
    data = study.config["data"]
    examples = data.get("subset") or data.get("train")
    of = f"{examples} examples of {data['name']}" if examples else data["name"]
    text = (
        f"{plural(len(networks), 'network')} ({names}), trained by "
        f"{plural(len(study.solvers), 'solver')} on {of}; {plural(len(pairs), 'pair')} aligned, "
        f"{profiled} of them measured along paths"
    )
    for kind in [kind for kind in KINDS if kind not in SAID]:
        if count := sum(row.kind == kind for row in study.rows):
            text += f"; {plural(count, kind)}"
    return f"{text}."


def _unfinished(study: Study) -> str:
    run, failed = study.run, study.of(Failure)
    planned = sum(run.tasks.values())
    done = run.done
    parts = []
    if not run.finished:
        parts.append("<strong>This study is not finished.</strong> What is missing can change all ")
        parts.append(
            f"verdicts; the same command goes on with it. {done} of {planned} tasks are done."
        )
    elif done < planned:
        parts.append(f"{done} of {planned} tasks are done.")
    if failed:
        noun = "task has" if len(failed) == 1 else "tasks have"
        parts.append(f" <strong>{len(failed)} {noun} failed</strong>:")
        parts.append(_listed([f"{row.label} ({row.task_kind}): {row.note}" for row in failed]))
    return f'<div class="warning" role="status">{"".join(parts)}</div>' if parts else ""


def _diverged(study: Study) -> str:
    rows = study.of(Diverged)
    if not rows:
        return ""
    noun = "network" if len(rows) == 1 else "networks"
    listed = _listed([f"{label(row.name)}: {row.note}" for row in rows])
    return (
        f'<div class="warning" role="status"><strong>{len(rows)} {noun} diverged</strong> and '
        f"could not be measured:{listed}</div>"
    )


def _untrained(study: Study) -> str:
    found = untrained(study)
    if not found:
        return ""
    threshold = study.config["claims"]["trained"]
    return (
        '<div class="warning" role="status"><strong>Networks of this study did not train</strong>, '
        f"which is to say that their train error is above {threshold:.2g} (claims.trained); no "
        f"claim counts them:{_listed(found)}</div>"
    )


def _listed(lines: Sequence[str]) -> str:
    shown = 8  # the page is to begin with the claims, not with a list
    items = [f"<li>{escape(line)}</li>" for line in lines[:shown]]
    if len(lines) > shown:
        items.append(f"<li>and {len(lines) - shown} more</li>")
    return f"<ul>{''.join(items)}</ul>"


def _claims(study: Study, elements: Elements) -> str:
    found = by_claim(study)
    if not found:
        text = "Nothing can be said about the claims yet: too little has been measured."
        return f'<section id="claims"><h2>The claims</h2><p>{text}</p></section>'
    blocks = "".join(claim_block(name, rows, study, elements) for name, rows in found.items())
    return (
        '<section id="claims"><h2>The claims</h2>'
        "<p>What the paper “Deep Networks on Toroids” (Pittorino et al., ICML 2022) and its "
        "companions claim, and what this study says about it. A claim holds where all effects that "
        "it needs are clear: where their whole 95 % intervals, over networks, lie on the claimed "
        f"side.</p>{claims_overview(study)}{blocks}</section>"
    )


def _sizes(drawings: Sequence[Drawing], elements: Elements) -> str:
    if not drawings:
        return ""
    figures = "".join(elements.figure(drawing) for drawing in drawings)
    return f'<section id="sizes"><h2>Against size</h2>{figures}</section>'


def _contents(study: Study) -> str:
    several = len(study.architectures) > 1
    claims = [(f"{name}: {CLAIMS.get(name, '')}", name) for name in by_claim(study)]
    entries = [("The claims", "claims", claims)]
    if sizes(study):
        entries.append(("Against size", "sizes", []))
    for architecture in study.architectures:
        title = f"Measurements: {label(architecture.name)}" if several else "Measurements"
        entries.append((title, anchor(architecture), subjects(architecture)))
    entries += [("How long everything took", "time", []), ("How to reproduce", "reproduce", [])]
    return (
        '<nav aria-label="Contents"><details><summary>Contents</summary><ul>'
        + "".join(_entry(*entry) for entry in entries)
        + "</ul></details></nav>"
    )


def _entry(title: str, place: str, below: Sequence[tuple[str, str]]) -> str:
    inner = "".join(_entry(*entry, ()) for entry in below)
    more = f"<ul>{inner}</ul>" if inner else ""
    return f'<li><a href="#{escape(place)}">{escape(title)}</a>{more}</li>'
