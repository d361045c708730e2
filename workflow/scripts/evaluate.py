"""Adapter of rule evaluate."""

import json

from emotalk.config.prediction import EvaluateSettings
from emotalk.device import choose_device
from emotalk.evaluation.evaluate import evaluate
from emotalk.logs import job_log

with job_log(snakemake.log[0]):
    evaluate(
        snakemake.input.card,
        snakemake.input.clips,
        snakemake.input.manifest,
        predictions=snakemake.output.predictions,
        swapped=snakemake.output.swapped,
        by_name=snakemake.output.by_name,
        metrics=snakemake.output.metrics,
        by_clip=snakemake.output.by_clip,
        groups=snakemake.output.groups,
        comparisons=snakemake.output.comparisons,
        channels=snakemake.output.channels,
        settings=EvaluateSettings(**json.loads(snakemake.params.evaluate)),
        seed=snakemake.params.seed,
        device=choose_device(snakemake.resources.gpu, snakemake.threads),
    )
