"""The renderer behind the `scenes` data set: places that never were, drawn from a seed, with exact ground truth."""
