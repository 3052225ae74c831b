import pydantic
import pytest

from toroids.design.config import AlignmentConfig, FlatnessConfig, ProfilesConfig


def test_alignment_is_by_a_method_that_needs_no_data():
    assert AlignmentConfig().method == "descent"
    with pytest.raises(pydantic.ValidationError, match="choose from descent, greedy"):
        AlignmentConfig(method="activations")


def test_the_reference_is_one_of_the_sigmas():
    assert FlatnessConfig(sigmas=(0.0, 0.25), reference=0.25).reference == 0.25
    with pytest.raises(pydantic.ValidationError, match="0.5 is not one of the sigmas"):
        FlatnessConfig(sigmas=(0.0, 0.25))


def test_as_many_pairs_as_there_are_or_fewer():
    config = ProfilesConfig(within=0, across="all")
    assert (config.within, config.across) == (0, "all")
