"""Adapter of rule index."""

import json

from emotalk.corpus.faults import Rules
from emotalk.corpus.index import collect_recordings, index_corpora
from emotalk.corpus.sources import sources_of
from emotalk.logs import job_log

with job_log(snakemake.log[0]):
    params = snakemake.params
    recordings = snakemake.output.recordings
    rules = Rules.of(json.loads(params.index), json.loads(params.faults))
    if snakemake.input.parts:
        parts = snakemake.input.parts
        collect_recordings(parts, recordings, corpora=params.corpora, rules=rules, strict=params.strict)
    else:
        sources = sources_of(params.corpora, params.data, json.loads(params.sources))
        index_corpora(sources, recordings, rules=rules, strict=params.strict, threads=snakemake.threads)
