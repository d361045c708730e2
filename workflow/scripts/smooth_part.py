"""Adapter of rule smooth_part."""

import json

from emotalk.config.corpus import SmoothSettings
from emotalk.data.smoothing import smooth_corpus
from emotalk.logs import job_log

with job_log(snakemake.log[0]):
    smooth_corpus(
        snakemake.input.recordings,
        snakemake.output.tracks,
        corpus=snakemake.wildcards.corpus,
        settings=SmoothSettings(**json.loads(snakemake.params.smooth)),
        threads=snakemake.threads,
        part=snakemake.wildcards.scatteritem,
    )
