"""Adapter of rule index_part."""

import json

from emotalk.corpus.faults import Rules
from emotalk.corpus.index import inspect_corpora
from emotalk.corpus.sources import sources_of
from emotalk.logs import job_log

with job_log(snakemake.log[0]):
    params = snakemake.params
    inspect_corpora(
        sources_of(params.corpora, params.data, json.loads(params.sources)),
        snakemake.output.part,
        rules=Rules.of(json.loads(params.index), json.loads(params.faults)),
        threads=snakemake.threads,
        part=snakemake.wildcards.scatteritem,
    )
