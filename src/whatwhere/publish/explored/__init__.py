"""Pages on which a person points at a patch of a photograph and sees what the network connects it with, and why."""
