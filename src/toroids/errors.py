"""What toroids raises: one sentence that says what, what was expected, what came, what to do."""


class ToroidsError(ValueError):
    """A request that cannot be carried out; its text is meant to be read by a person."""


class ParamsError(ToroidsError):
    """Parameters that do not fit a group, a network, or each other, or that are not finite."""


class DataError(ToroidsError):
    """Examples or labels that cannot be used: empty, of the wrong shape, or outside the classes."""


class NotFiniteError(DataError):
    """Outputs or a loss that are NaN or infinite."""


class ConfigError(ToroidsError):
    """A study file, or a name in it, that cannot be used."""
