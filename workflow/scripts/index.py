"""Adapter of rule index."""

import json

from emotalk.config.corpus import IndexSettings
from emotalk.data.discovery import make_sources
from emotalk.data.index import collect_recordings, index_corpora
from emotalk.logs import job_log

with job_log(snakemake.log[0]):
    params, parts = snakemake.params, snakemake.input.parts
    recordings = snakemake.output.recordings
    options = {"settings": IndexSettings(**json.loads(params.index)), "strict": params.strict}
    if parts:
        collect_recordings(parts, recordings, corpora=params.corpora, **options)
    else:
        sources = make_sources(params.corpora, params.data, json.loads(params.sources))
        index_corpora(sources, recordings, threads=snakemake.threads, **options)
