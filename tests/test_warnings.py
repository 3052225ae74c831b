"""Warnings are errors, but for those that PyTorch gives to itself."""

import warnings

import pytest


@pytest.mark.parametrize("kind", [DeprecationWarning, FutureWarning])
def test_what_a_newer_pytorch_deprecates_in_itself_fails_no_test(kind):
    with pytest.raises(kind):
        warnings.warn_explicit("ours", kind, "x.py", 1, module="toroids.x")
    with warnings.catch_warnings(record=True) as caught:
        warnings.warn_explicit("theirs", kind, "x.py", 1, module="torch.nn.x")
    assert [str(each.message) for each in caught] == ["theirs"]
