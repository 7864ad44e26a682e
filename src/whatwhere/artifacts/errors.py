"""The exceptions a person is meant to read: a single line that says expected, got, where, what to do."""


class InputError(Exception):
    """Bad input or a damaged artifact; shown as one line, never as a traceback, with exit status 2."""


class HubError(InputError):
    """A file of the hub could not be had."""


class NotCachedError(HubError):
    """A file of the hub is not on this machine, and nobody was or could be asked for it."""
