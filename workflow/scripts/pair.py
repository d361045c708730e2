"""Adapter of rule pair."""

import json

from emotalk.config.corpus import PairSettings, SplitSettings
from emotalk.data.manifest import write_manifest
from emotalk.logs import job_log

with job_log(snakemake.log[0]):
    params = snakemake.params
    write_manifest(
        snakemake.input.clips,
        snakemake.output.manifest,
        settings=PairSettings(**json.loads(params.pair)),
        split={corpus: SplitSettings(**split) for corpus, split in json.loads(params.split).items()},
        epochs=params.epochs,
        seed=params.seed,
        num_slots=params.num_slots,
    )
