"""A run as parquet files, for pandas, DuckDB and other readers of tables."""

import os
from io import BytesIO
from pathlib import Path

from toroids.arguments.checked import checked
from toroids.errors import ToroidsError
from toroids.extras import load_extra
from toroids.files.writing import write_atomically
from toroids.study.rows import fitting, read_rows
from toroids.study.tables import Table, make_tables


@checked
def export_run(folder: str | Path, out: str | Path) -> list[Path]:
    """Writes the tables of a run as parquet files, also of one that is being computed.

    Every file is replaced atomically, so that a reader sees the old table or the new one, and
    holds a checksum of every page.

    Args:
        folder: a run, as `run_study` leaves it.
        out: a folder for the files, one per table of `make_tables`; made when missing.

    Returns:
        The files.

    Raises:
        ToroidsError: there is no run, `out` is a file, or the package pyarrow of the extra
            `parquet` is not installed.

    Example:
        >>> import tempfile
        >>> from toroids.study import StudyConfig, export_run, run_study
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
        ...     paths = export_run(run_study(study, f"{folder}/run"), f"{folder}/tables")
        >>> paths[0].name
        'networks.parquet'
    """
    out = Path(out)
    if os.path.exists(out) and not os.path.isdir(out):
        raise ToroidsError(f"`{out}` is a file; name a folder for the tables.")
    contents = parquet_files(folder)
    for name, content in contents.items():
        write_atomically(out / name, content)
    return [out / name for name in contents]


def parquet_files(folder: str | Path, metadata: dict[str, str] | None = None) -> dict[str, bytes]:
    """Makes the parquet files of a run, without writing them.

    Args:
        folder: a run, as `run_study` leaves it.
        metadata: texts by name, for every file.

    Returns:
        Their contents by name, as "networks.parquet".

    Raises:
        ToroidsError: there is no run, or the package pyarrow is not installed.
    """
    arrow = load_extra("pyarrow", "parquet")
    parquet = load_extra("pyarrow.parquet", "parquet")
    contents, rows = {}, read_rows(folder)
    with fitting(folder):
        for name, table in make_tables(rows).items():
            buffer = BytesIO()
            lines = arrow.Table.from_pylist(_complete(table)).replace_schema_metadata(metadata)
            parquet.write_table(lines, buffer, write_page_checksum=True)
            contents[f"{name}.parquet"] = buffer.getvalue()
    return contents


def _complete(table: Table) -> Table:
    """Gives every line all columns, numbers as floats where any line has one."""
    columns = dict.fromkeys(key for line in table for key in line)
    floats = {key for key in columns if any(isinstance(line.get(key), float) for line in table)}
    return [
        {
            key: float(line[key]) if key in floats and line.get(key) is not None else line.get(key)
            for key in columns
        }
        for line in table
    ]
