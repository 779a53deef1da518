#!/usr/bin/env bash
# Runs in the new environment, from the folder that Snakemake was started in: the root of the clone.
set -euo pipefail
python -m pip install --requirement requirements.lock
python -m pip install --no-deps --no-build-isolation --editable .
