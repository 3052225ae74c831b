r"""Sets formulas while the site is built: LaTeX between dollars becomes MathML.

Browsers show it: no script runs on the page and nothing is fetched. What cannot be converted fails
the build.
"""

import html
import re
from typing import Any

from latex2mathml.converter import convert

_INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.S)
# Bars that would grow with what they enclose grow too much; a slash needs no room around it; the
# name of a function needs some before an argument that is not in brackets.
_REFINED = [
    (re.compile(r"<mo>(&#x02016;|&#x0007C;)</mo>"), r'<mo stretchy="false">\1</mo>'),
    (re.compile(r"<mo>(&#x0002F;)</mo>"), r'<mo lspace="0.05em" rspace="0.05em">\1</mo>'),
    (
        re.compile(r"<mi>(sin|cos|arccos|tanh|max)</mi>(?!<mo stretchy=.false.>&#x00028;)"),
        r'<mi>\1</mi><mspace width="0.17em" />',
    ),
]
_BLOCK = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.S)


def on_page_content(content: str, **_: Any) -> str:
    """Replaces the formulas of a page."""
    content = _BLOCK.sub(
        lambda found: f'<div class="formula">{_set(found, "block")}</div>', content
    )
    return _INLINE.sub(lambda found: _set(found, "inline"), content)


def _set(found: re.Match[str], display: str) -> str:
    latex = html.unescape(found[1]).strip()
    formula: str = convert(latex, display=display)
    if "\\" in formula:
        raise ValueError(f"a command in the formula {latex!r} is not known to latex2mathml")
    for plain, better in _REFINED:
        formula = plain.sub(better, formula)
    return formula
