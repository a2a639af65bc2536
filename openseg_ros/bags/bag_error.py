"""The error of everything that has to do with bags."""


class BagError(Exception):
    """A bag cannot be read, written or used; the message says which, why and what to do."""
