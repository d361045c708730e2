"""Adapter of rule check."""

from emotalk.evaluation.evaluate import check_improvement
from emotalk.logs import job_log

with job_log(snakemake.log[0]):
    check_improvement(snakemake.input.metrics, snakemake.output.verdict, required=snakemake.params.required)
