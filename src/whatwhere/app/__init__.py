"""For people: the command line, one's own photographs, stores shown, plans, timings."""
