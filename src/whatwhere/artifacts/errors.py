"""The one exception a person is meant to read: a single line that says expected, got, where, what to do."""


class InputError(Exception):
    """Bad input or a damaged artifact; shown as one line, never as a traceback, with exit status 2."""
