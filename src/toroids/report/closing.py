"""How long a study took, and how to repeat it and find each of its numbers."""

from html import escape

from toroids.report.document import Elements, buttons, file_name, held
from toroids.report.settings import as_toml
from toroids.report.study import Study
from toroids.report.tables import Column, table_html
from toroids.report.text import duration
from toroids.study.perform.kinds import KINDS


def times(study: Study, elements: Elements) -> str:
    """Writes how long everything took, by kind of task."""
    run = study.run
    seconds = run.task_seconds
    counts = run.tasks
    kinds = [kind for kind in (*KINDS, *counts) if kind in counts]
    kinds = list(dict.fromkeys(kinds))
    total = sum(seconds.values())
    spent = [seconds.get(kind, 0.0) for kind in kinds]
    words = [KINDS[kind].words if kind in KINDS else kind for kind in kinds]
    columns = [
        Column("kind of task", words, numeric=False),
        Column("tasks", [str(counts[kind]) for kind in kinds]),
        Column("time", [duration(time) for time in spent]),
        Column("per task", [duration(t / counts[k]) for t, k in zip(spent, kinds, strict=True)]),
        Column("share", [f"{time / total:.0%}" if total else "" for time in spent]),
    ]
    records = [
        {"task": kind, "tasks": counts[kind], "seconds": time}
        for kind, time in zip(kinds, spent, strict=True)
    ]
    workers = f"{run.workers} worker{'s' if run.workers != 1 else ''}"
    text = (
        f"All tasks together took {duration(total)} of computing; the last invocation took "
        f"{duration(run.seconds)}, engine “{run.engine}” with {workers}, on {run.machine}."
    )
    caption = "Time by kind of task, summed over all tasks that are done"
    return f"<p>{escape(text)}</p>" + elements.table("times", caption, columns, records)


def reproduce(study: Study, elements: Elements) -> str:
    """Writes the command, the settings, the versions, and the rows behind every figure."""
    run = study.run
    name = file_name(run.study)
    toml = as_toml(study.config)
    versions = ", ".join(f"{name} {number}" for name, number in run.versions.items())
    content = {"name": name, "toml": toml}
    return (
        f"<p>Save the settings below as {escape(name)}.toml and run:</p>"
        f'<pre tabindex="0">toroids study {escape(name)}.toml</pre>'
        f"<p>These versions give the same numbers on a CPU, whatever the engine and the number of "
        f"workers: {escape(versions)}.</p>"
        f"<div data-holder><details><summary>Settings of the study</summary>"
        f'<pre tabindex="0" aria-label="Settings of the study">{escape(toml)}</pre></details>'
        f"{buttons('toml', of='the settings')}{held(content)}</div>"
        "<p>Every number of this page stands in <code>measurements.jsonl</code> beside this file, "
        "one JSON object per line; <code>kind</code> says what it is. Where the figures' numbers "
        "come from:</p>" + _sources(elements)
    )


def _sources(elements: Elements) -> str:
    drawings = elements.drawings
    if not drawings:
        return ""
    columns = [
        Column("figure", [str(n) for n in range(1, len(drawings) + 1)]),
        Column("what", [drawing.title for drawing in drawings], numeric=False),
        Column("saved as", [f"{drawing.name}.csv" for drawing in drawings], numeric=False),
        Column("rows", [drawing.source for drawing in drawings], numeric=False),
    ]
    return table_html(columns, "Figures and the rows they are drawn from")
