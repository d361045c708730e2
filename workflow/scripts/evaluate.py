"""Adapter of rule evaluate."""

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
        metrics=snakemake.output.metrics,
        by_clip=snakemake.output.by_clip,
        channels=snakemake.output.channels,
        person=snakemake.params.person,
        basis=snakemake.params.basis,
        mm_per_unit=snakemake.params.mm_per_unit,
        bootstrap_draws=snakemake.params.bootstrap_draws,
        seed=snakemake.params.seed,
        device=choose_device(snakemake.resources.gpu, snakemake.threads),
    )
