"""Adapter of rule demo_corpus."""

from emotalk.demo.corpus import write_demo_corpus
from emotalk.logs import job_log

with job_log(snakemake.log[0]):
    write_demo_corpus(
        snakemake.input.definition,
        snakemake.output.corpus,
        actors=snakemake.params.actors,
        seed=snakemake.params.seed,
    )
