"""Adapter of rule index."""

from emotalk.corpus.index import index_corpora
from emotalk.logs import job_log

with job_log(snakemake.log[0]):
    index_corpora(
        snakemake.params.data,
        snakemake.output.recordings,
        corpora=snakemake.params.corpora,
        max_frame_difference=snakemake.params.max_frame_difference,
        min_frames=snakemake.params.min_frames,
        strict=snakemake.params.strict,
        threads=snakemake.threads,
    )
