"""Adapter of rule index."""

import json

from emotalk.corpus.faults import Rules
from emotalk.corpus.index import collect_recordings, index_corpora
from emotalk.corpus.sources import sources_of
from emotalk.logs import job_log

with job_log(snakemake.log[0]):
    params = snakemake.params
    checks = {
        "rules": Rules.of(json.loads(params.index), json.loads(params.faults)),
        "strict": params.strict,
    }
    recordings = snakemake.output.recordings
    if snakemake.input.parts:
        collect_recordings(snakemake.input.parts, recordings, corpora=params.corpora, **checks)
    else:
        sources = sources_of(params.corpora, params.data, json.loads(params.sources))
        index_corpora(sources, recordings, **checks, threads=snakemake.threads, earlier=params.earlier)
