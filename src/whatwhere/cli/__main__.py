"""`python -m whatwhere.cli …` is `whatwhere …`."""

from whatwhere.cli import main

main()
