"""Adapter of rule index_part."""

import json

from emotalk.config.corpus import IndexSettings, SourceSettings
from emotalk.data.discovery import Source
from emotalk.data.index import inspect_corpora
from emotalk.logs import job_log

with job_log(snakemake.log[0]):
    params = snakemake.params
    settings = json.loads(params.sources)
    inspect_corpora(
        [Source.from_settings(name, params.data, SourceSettings(**settings[name])) for name in params.corpora],
        snakemake.output.part,
        settings=IndexSettings(**json.loads(params.index)),
        threads=snakemake.threads,
        part=snakemake.wildcards.scatteritem,
    )
