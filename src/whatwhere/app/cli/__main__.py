"""`python -m whatwhere.app.cli …` is `whatwhere …`."""

from whatwhere.app.cli import main

main()
