"""Pages that lie elsewhere in the repository: the changelog, how to contribute, the benchmarks.

Links between them are turned to where they are on the site; a link to a file that is not on the
site stays as its name.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
PAGES = {"changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages."""
    sources = {
        **{uri: ROOT / name for uri, name in PAGES.items()},
        **{_benchmark(path): path for path in sorted((ROOT / "benchmarks").glob("*.md"))},
    }
    places = {path: uri for uri, path in sources.items()}
    places |= {ROOT / "docs" / file.src_uri: file.src_uri for file in files}
    for uri, path in sources.items():
        files.append(File.generated(config, uri, content=_relinked(path, uri, places)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lists the benchmarks where a page asks for it."""
    if "<!-- benchmarks -->" not in markdown:
        return markdown
    lines = []
    for path in sorted((ROOT / "benchmarks").glob("*.md")):
        title = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        lines.append(f"- [{title}]({_benchmark(path)})")
    return markdown.replace("<!-- benchmarks -->", "\n".join(lines))


def _benchmark(path: Path) -> str:
    """Where a page of `benchmarks/` is on the site; its README would take the place of a page."""
    return f"benchmarks/{'table.md' if path.stem == 'README' else path.name}"


def _relinked(path: Path, uri: str, places: dict[Path, str]) -> str:
    """The text of a page with its links as they have to be on the site."""
    depth = "../" * uri.count("/")

    def link(found: re.Match[str]) -> str:
        text, target, anchor = found[1], found[2], found[3] or ""
        place = places.get((path.parent / target).resolve())
        return f"[{text}]({depth}{place}{anchor})" if place else text

    return _LINK.sub(link, path.read_text(encoding="utf-8"))
