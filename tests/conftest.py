"""Shared by all tests: one thread per process, so that parallel test workers do not fight over cores."""

import os

for pool in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(pool, "1")
