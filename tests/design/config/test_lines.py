import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toroids.design.config.lines import lines_of


def exists(tree, path):
    for part in path:
        if isinstance(tree, dict) and part in tree:
            tree = tree[part]
        elif isinstance(tree, list) and isinstance(part, int) and part < len(tree):
            tree = tree[part]
        else:
            return False
    return True


def by_prefixes(text, path):
    """The definition: where the first beginning of the file begins to have the path."""
    lines, first = text.split("\n"), 1
    for number in range(1, len(lines) + 1):
        try:
            tree = tomllib.loads("\n".join(lines[:number]) + "\n")
        except tomllib.TOMLDecodeError:
            continue
        if exists(tree, path):
            return first
        first = number + 1
    return None


def paths(tree):
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for name, value in items:
        yield (name,)
        if isinstance(value, dict | list):
            yield from ((name, *rest) for rest in paths(value))


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ("a = 1", (), 1),
        ("", (), 1),
        ("# comment\n\na = 1\n", ("a",), 3),
        ("a = 1 # b = 2\nb = 3\n", ("b",), 2),
        ("[t]\n\n  a = 1\n", ("t", "a"), 3),
        ("[t]\na = 1\n", ("t",), 1),
        ("[s.t]\na = 1\n", ("s",), 1),
        ("[s.t]\na = 1\n[s]\nb = 1\n", ("s", "b"), 4),
        ("[s.t]\na = 1\n[s]\nb = 1\n", ("s",), 1),
        ("a.b.c = 1\na.d = 2\n", ("a", "d"), 2),
        ("a.b.c = 1\na.d = 2\n", ("a", "b"), 1),
        ("\"a.b\" = 1\n'c d'.e = 2\n", ("c d", "e"), 2),
        ('["x = 1"]\n"[y]" = 2\n', ("x = 1", "[y]"), 2),
        ("x = 1\n[t] # [s]\ny = {a = 1, b = {c = 2}}\n", ("t", "y", "b", "c"), 3),
        ("a = [\n  1,\n  2, # two\n]\nb = 1\n", ("a", 1), 1),
        ("a = [\n  1,\n  2, # two\n]\nb = 1\n", ("b",), 5),
        ("a = [\n  {x = 1},\n  {x = 2},\n]\nb = 1\n", ("a", 1, "x"), 1),
        ('a = """\nb = 1\n[c]\n"""\nb = 2\n', ("b",), 5),
        ("a = '''\nb = 1\n'''\nb = 2\n", ("b",), 4),
        ('a = """x\\\n  y"""\nb = 2\n', ("b",), 3),
        ("[[p]]\na = 1\n[[p]]\na = 2\n", ("p", 1, "a"), 4),
        ("[[p]]\na = 1\n[[p]]\na = 2\n", ("p", 1), 3),
        ("[[p]]\n[p.q]\na = 1\n[[p]]\n[p.q]\na = 2\n", ("p", 1, "q", "a"), 6),
        ("[[p]]\n[[p.q]]\n[[p.q]]\na = 1\n[[p]]\n[[p.q]]\na = 2\n", ("p", 0, "q", 1, "a"), 4),
        ("[[p]]\n[[p.q]]\n[[p.q]]\na = 1\n[[p]]\n[[p.q]]\na = 2\n", ("p", 1, "q", 0, "a"), 7),
        ("[ t . 's' ]\na = 1\n", ("t", "s", "a"), 2),
        ("a = 1\r\n[t]\r\nb = [\r\n 1\r\n]\r\nc = 2\r\n", ("t", "c"), 6),
        ('a = "\u2028 and \x85"\nb = 1\n', ("b",), 2),
        ("a = 2020-01-01\n# last", ("a",), 1),
    ],
)
def test_lines(text, path, line):
    assert lines_of(text)[path] == line
    assert not path or by_prefixes(text, path) == line


def test_long_values_take_time_as_they_are_long():
    seeds = "".join(f"{seed},\n" for seed in range(20_000))  # quadratic: minutes
    assert lines_of(f"seeds = [\n{seeds}]\nlast = 1\n")[("last",)] == 20_003


def test_what_is_not_there_has_no_line():
    assert ("a", "b") not in lines_of("a = 1\n")


def test_a_wrong_file_is_refused():
    with pytest.raises(tomllib.TOMLDecodeError):
        lines_of("a = 1\na = 2\n")


keys = st.sampled_from(["a", "b", '"c.d"', "'[e]'", "a.b", "b . a"])
values = st.sampled_from(
    ["1", '"# ="', "[]", "[1,\n 2]", "[\n]", "{a = 1}", "{b = {a = [1]}}", '"""\nb = 1\n"""', "[{a = 1},\n\n{a = 2}]"]
)  # fmt: skip
statements = st.one_of(
    st.just(""),
    st.just("# [a]"),
    st.builds("{} = {}".format, keys, values),
    st.builds("  {}={} # a = 1".format, keys, values),
    st.builds("[{}]".format, keys),
    st.builds("[[{}]] # [b]".format, keys),
)


@given(st.lists(statements, max_size=12), st.sampled_from(["\n", "\r\n"]))
def test_lines_agree_with_the_definition(wanted, end):
    text = ""
    for statement in wanted:  # what contradicts the file so far is left out
        try:
            tomllib.loads(text + statement + "\n")
        except tomllib.TOMLDecodeError:
            continue
        text += statement + "\n"
    text = text.replace("\n", end)
    lines = lines_of(text)
    found = set(paths(tomllib.loads(text)))
    assert set(lines) == found | {()}
    for path in found:
        assert lines[path] == by_prefixes(text, path)
