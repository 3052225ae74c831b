import pytest

from toroids.design.config.overrides import parse_override, set_override
from toroids.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("a=1", ("a",), 1),
        ("a.b = -1e-3", ("a", "b"), -1e-3),
        ("a=true", ("a",), True),
        ("a=cuda:1", ("a",), "cuda:1"),
        ("a=/some/folder#1", ("a",), "/some/folder#1"),
        ("a=package.module:function", ("a",), "package.module:function"),
        ("a=b=c", ("a",), "b=c"),
        ("a='b'", ("a",), "b"),
        ("a=[1, 'x', [2.5]]", ("a",), [1, "x", [2.5]]),
        ("a={b=1}", ("a",), {"b": 1}),
        ('"a=b".c=1', ("a=b", "c"), 1),
        ("a.'b.c'.d=1", ("a", "b.c", "d"), 1),
        ("a=.5", ("a",), ".5"),
        ("""'a"='.b=1""", ('a"=', "b"), 1),
    ],
)
def test_overrides_are_read(text, path, value):
    override = parse_override(text)
    assert (override.text, override.path, override.value) == (text, path, value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "write KEY=VALUE"),
        ("a", "write KEY=VALUE"),
        ("=1", "write KEY=VALUE"),
        ("a b=1", "write KEY=VALUE"),
        ("a=1\nb=2", "neither TOML nor a word|more than one value"),
        ("x=1\ny=2=3", "neither TOML nor a word"),
        ("a=", "the value '' is neither"),
        ("a=[1", r"the value '\[1' is neither"),
        ("a='b", "is neither"),
        ("a={", "is neither"),
        ("a=" + "[" * 5000 + "]" * 5000, "is neither"),
        ("a" + ".a" * 30_000 + "=1", "a key has more than 50 parts"),
        ("x={a" + ".a" * 30_000 + "=1}", "a key has more than 50 parts"),
        ('"' + "=" * 100_000, "write KEY=VALUE"),
        ("a=1" + "0" * 6000, None),
    ],
)
def test_others_are_refused(text, message):
    if message is None:
        assert isinstance(parse_override(text).value, str)
        return
    with pytest.raises(ConfigError, match=message):
        parse_override(text)


def test_overrides_make_tables_but_no_tables_of_values():
    tree = {"a": {"b": 1}}
    set_override(tree, parse_override("a.c=2"))
    set_override(tree, parse_override("d.e.f=3"))
    assert tree == {"a": {"b": 1, "c": 2}, "d": {"e": {"f": 3}}}
    with pytest.raises(ConfigError, match="`a.b` is no table"):
        set_override(tree, parse_override("a.b.c=2"))
