"""Adapter of rule index_part."""

import json

from emotalk.config.corpus import IndexSettings
from emotalk.data.discovery import make_sources
from emotalk.data.index import inspect_corpora
from emotalk.logs import job_log

with job_log(snakemake.log[0]):
    params = snakemake.params
    inspect_corpora(
        make_sources(params.corpora, params.data, json.loads(params.sources)),
        snakemake.output.part,
        settings=IndexSettings(**json.loads(params.index)),
        threads=snakemake.threads,
        part=snakemake.wildcards.scatteritem,
    )
