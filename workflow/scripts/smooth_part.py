"""Adapter of rule smooth_part."""

import json

from emotalk.config.corpus import SmoothSettings
from emotalk.data.smoothing import smooth_corpus
from emotalk.logs import job_log

with job_log(snakemake.log[0]):
    corpus, smoothing = snakemake.wildcards.corpus, SmoothSettings(**json.loads(snakemake.params.smooth))
    smooth_corpus(
        snakemake.input.recordings,
        snakemake.output.tracks,
        corpus=corpus,
        settings=smoothing if smoothing.is_enabled(corpus in snakemake.params.captured) else None,
        threads=snakemake.threads,
        part=snakemake.wildcards.scatteritem,
    )
