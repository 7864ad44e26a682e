"""The ground: stores that are whole or not there, jobs, seeds, progress, errors."""
