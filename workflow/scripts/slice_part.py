"""Adapter of rule slice_part."""

from emotalk.data.slicing import slice_corpus
from emotalk.logs import job_log

with job_log(snakemake.log[0]):
    slice_corpus(
        snakemake.input.recordings,
        snakemake.input.tracks,
        snakemake.output.clips,
        corpus=snakemake.wildcards.corpus,
        max_frames=snakemake.params.max_frames,
        threads=snakemake.threads,
        part=snakemake.wildcards.scatteritem,
    )
