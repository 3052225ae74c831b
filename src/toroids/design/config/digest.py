"""Content of files as a short text, so that what changed is not taken for what was."""

import hashlib
from pathlib import Path

from toroids.errors import ConfigError
from toroids.files.reading import open_file, told


def digest_file(path: Path) -> str:
    """Computes the SHA-256 of a file, or raises ConfigError."""
    with told(path, "file", "name another", ConfigError), open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_folder(path: Path) -> str:
    """Computes one SHA-256 of the data in a folder: of all names below it and their contents.

    Where there are parquet files these are the data; hidden files never are.

    Args:
        path: the folder.

    Returns:
        64 hexadecimal digits, which do not depend on where the folder is.

    Raises:
        ConfigError: there is no such folder, or a file in it cannot be read.
    """
    if not path.is_dir():
        raise ConfigError(f"there is no folder `{path}`; name the one that holds the data.")
    names = [
        file.relative_to(path)
        for file in path.rglob("*")
        if file.is_file() and not any(part[0] == "." for part in file.relative_to(path).parts)
    ]
    names = [name for name in names if name.suffix == ".parquet"] or names
    whole = hashlib.sha256()
    for name in sorted(names, key=lambda name: name.as_posix()):
        whole.update(f"{name.as_posix()}\0{digest_file(path / name)}\n".encode())
    return whole.hexdigest()
