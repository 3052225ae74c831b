"""How the train error fell."""

from toroids.report.figures.drawing import Drawing
from toroids.report.figures.style import laid_out, panels, shown, solver_style
from toroids.report.study import Architecture
from toroids.report.text import label, plural, short
from toroids.statistics.row import plain


def training_curves(architecture: Architecture) -> Drawing | None:
    """Draws the train error of every network over the epochs, one panel per solver."""
    solvers = architecture.solvers
    if not solvers:
        return None
    members = {s: [row for row in architecture.networks if row.solver == s] for s in solvers}
    figure = panels([f"{label(s)} ({plural(len(members[s]), 'network')})" for s in solvers])
    records = []
    for column, solver in enumerate(solvers, start=1):
        colour, _ = solver_style(architecture, solver)
        for row in members[solver]:
            history = [epoch for epoch in row.history if epoch.phase == "train"]
            figure.add_scatter(
                x=[epoch.epoch for epoch in history],
                y=[epoch.error for epoch in history],
                mode="lines",
                line={"color": colour, "width": 1.5},
                opacity=0.7,
                name=shown(short(row.name, architecture.name)),
                hovertemplate="epoch %{x}: %{y:.2%}",
                showlegend=False,
                row=1,
                col=column,
            )
            records += [
                {"network": row.name, "solver": solver, **plain(epoch)} for epoch in row.history
            ]
    figure.update_xaxes(title="epoch")
    figure.update_yaxes(title="train error", tickformat=".2~%", rangemode="tozero")
    return Drawing(
        f"training-{architecture.name}",
        "Training: the train error after every epoch",
        "One line per network, counted on all training examples at the end of the epoch, without "
        "error. Epochs in which a network was made to fit random labels, before its training, are "
        "not drawn.",
        laid_out(figure, 260, 240, shared=True),
        records,
        'kind "network", field history',
    )
