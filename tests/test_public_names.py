"""Every public name shows itself: an example in its docstring, or in that of what makes it."""

import importlib
import inspect
import re
from pathlib import Path
from types import GenericAlias, ModuleType

import pytest

import toroids as td
from toroids import (
    binary,
    data,
    errors,
    geometry,
    landscape,
    models,
    probe,
    solvers,
    study,
    symmetry,
)
from toroids.explore.explore import explore
from toroids.report.page import write_report

MODULES = (binary, data, errors, geometry, landscape, models, probe, solvers, symmetry)
NAMED = [
    (module, name, getattr(module, name))
    for module in (td, study, *MODULES)
    for name in module.__all__
] + [(td, "explore", explore), (td, "write_report", write_report)]
# A type alias documents itself where it is defined, a module by what it holds.
CALLABLES = [
    pytest.param(module, found, id=f"{module.__name__}.{name}")
    for module, name, found in NAMED
    if not isinstance(found, ModuleType | GenericAlias)
]


def docstring(found):
    """Of a class also what is said of making and of calling one."""
    own = [found]
    if inspect.isclass(found):
        own += [found.__dict__.get(name) for name in ("__init__", "__call__")]
    return "\n".join(inspect.getdoc(x) or "" for x in own if x is not None)


def named_in(text, module):
    """What a docstring tells to see: `name` of the same module, or of the root, or a dotted path."""
    for path in re.findall(r"\bSee `([\w.]+)`", text):
        home, _, name = path.rpartition(".")
        homes = [importlib.import_module(home)] if home else [module, td]
        found = [getattr(each, name, None) for each in homes]
        found = [each for each in found if each is not None and not isinstance(each, ModuleType)]
        assert found, f"there is no {path}"
        yield found[0]


@pytest.mark.parametrize(("module", "found"), CALLABLES)
def test_it_says_what_it_does_and_shows_it(module, found):
    text = docstring(found)
    assert len(text.splitlines()[0]) > 10
    assert ">>>" in text or any(">>>" in docstring(other) for other in named_in(text, module))


@pytest.mark.parametrize(
    ("module", "found"), [case for case in CALLABLES if inspect.isfunction(case.values[1])]
)
def test_a_function_describes_its_arguments_and_what_it_returns(module, found):
    text, signature = docstring(found), inspect.signature(found)
    for name in signature.parameters:
        assert re.search(rf"^    \*?{name}: ", text, re.M), name
    assert ("Returns:" in text) == (signature.return_annotation not in (None, "None"))


def test_no_public_function_is_hidden_by_a_file_of_its_name():
    for module, name, found in NAMED:
        if not isinstance(found, ModuleType):
            continue
        assert found in MODULES, f"{module.__name__}.{name} is a file"


def test_the_types_are_part_of_the_package():
    assert (Path(td.__file__).parent / "py.typed").is_file()
