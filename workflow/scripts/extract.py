"""Adapter of rule extract."""

import json
from dataclasses import asdict
from pathlib import Path

from emotalk.capture.records import summarize_captures
from emotalk.logs import job_log
from emotalk.training.extract import extract_weights

with job_log(snakemake.log[0]):
    tables = dict(zip(snakemake.params.captured, map(Path, snakemake.input.captured), strict=True))
    extract_weights(
        snakemake.input.checkpoint,
        snakemake.input.clips,
        snakemake.input.manifest,
        Path(snakemake.output.card).parent,
        settings=json.loads(snakemake.params.settings),
        captured={corpus: asdict(summary) for corpus, summary in summarize_captures(tables).items()},
    )
