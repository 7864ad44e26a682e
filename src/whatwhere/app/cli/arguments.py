"""What arguments of several commands have in common."""

from __future__ import annotations

import argparse
import sys


def whole_number(text: str) -> int:
    """A number from 0 on."""
    if text.isdigit():
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a whole number from 0, got {text!r}")


def positive_number(text: str) -> int:
    """A number from 1 on."""
    if text.isdigit() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")


def cluster_count(text: str) -> int | str:
    """K, or `auto`."""
    if text == "auto" or (text.isdigit() and int(text) > 0):
        return text if text == "auto" else int(text)
    raise argparse.ArgumentTypeError(f"expected auto or a positive number, got {text!r}")


def share(text: str) -> float:
    """A threshold: a probability or a silhouette, from -1 to 1."""
    try:
        number = float(text)
    except ValueError:
        number = -2.0
    if -1 <= number <= 1:
        return number
    raise argparse.ArgumentTypeError(f"expected a number from -1 to 1, got {text!r}")


def as_options(text: str) -> str:
    """A line about settings of a backbone in the words of the options that stand for them."""
    for setting, option in {"`model`": "--backbone", "`weights`": "--weights"}.items():
        text = text.replace(setting, option)
    return text


def complain(text: str) -> None:
    """One line to whoever looks on."""
    sys.stderr.write(f"whatwhere: {text}\n")
