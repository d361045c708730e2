"""Adapter of rule extract."""

import json
from pathlib import Path

from emotalk.logs import job_log
from emotalk.training.export import extract_weights

with job_log(snakemake.log[0]):
    extract_weights(
        snakemake.input.checkpoint,
        snakemake.input.clips,
        snakemake.input.manifest,
        Path(snakemake.output.card).parent,
        recipe=json.loads(snakemake.params.recipe),
        captured=dict(zip(snakemake.params.captured, map(Path, snakemake.input.captured), strict=True)),
    )
