"""Errors and losses of networks on data, with the parameters passed as data."""
