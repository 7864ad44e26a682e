"""The exceptions a person is meant to read: a single line that says expected, got, where, what to do."""

#: Characters of a line; what is longer (a key of a megabyte) is cut in the middle: how it begins and what to do stay.
LONGEST = 1200
_END = 400


class InputError(Exception):
    """Bad input or a damaged artifact; shown as one line, never as a traceback, with exit status 2."""

    def __str__(self) -> str:
        text = " ".join(super().__str__().splitlines())
        return text if len(text) <= LONGEST else f"{text[: LONGEST - _END]} … {text[-_END:]}"


class HubError(InputError):
    """A file of the hub could not be had."""


class NotCachedError(HubError):
    """A file of the hub is not on this machine, and nobody was or could be asked for it."""


def line(error: BaseException) -> str:
    """The first line of what an error says."""
    return (str(error) or type(error).__name__).strip().split("\n")[0][:160]
