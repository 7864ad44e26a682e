"""Numbers and rows in words."""

from whatwhere.artifacts.words import aligned, bytes_words, time_words, wrapped


def test_numbers_have_sensible_units():
    seconds = {0.0: "0 s", 42.4: "42 s", 119.6: "2 min 0 s", 3725.0: "1 h 2 min", 3e6: "34.7 days"}
    assert [time_words(number) for number in seconds] == list(seconds.values())
    sizes = {None: "", 512.0: "0.5 kB", 999.4e3: "999.4 kB", 12.3e6: "12.3 MB", 1.9e9: "1.9 GB", 3e12: "3.0 TB"}
    assert [bytes_words(number) for number in sizes] == list(sizes.values())


def test_cells_stand_in_columns_and_long_ones_are_cut():
    text = aligned(
        [["name", "count", ""], ["a", "1,000", "why not"], ["the second of them", "1", ""]], "lrl", widest=12
    )
    assert text.splitlines() == ["  name          count", "  a             1,000  why not", "  the second …      1"]


def test_lines_are_wrapped_under_their_first_words():
    assert wrapped("one two three", "  - ", width=12).splitlines() == ["  - one two", "    three"]
