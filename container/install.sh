#!/bin/sh
# Everything that the rules need, from the same pins as a virtual environment: for both recipes beside this.
set -eu
apt-get update
apt-get install -y --no-install-recommends git libsndfile1
rm -rf /var/lib/apt/lists/*
cd "$(dirname "$0")/.."
pip install --no-cache-dir -c requirements.lock '.[slurm,cloud]'
pip uninstall -y emotalk # Jobs bring the package of the checkout that they belong to.
