"""Adapter of rule pair."""

import json

from emotalk.corpus.manifest import write_manifest
from emotalk.logs import job_log

with job_log(snakemake.log[0]):
    write_manifest(
        snakemake.input.clips,
        snakemake.output.manifest,
        recipe=snakemake.params.recipe,
        epochs=snakemake.params.epochs,
        seed=snakemake.params.seed,
        split=json.loads(snakemake.params.split),
        calm=snakemake.params.calm,
        unlabelled_level=snakemake.params.unlabelled_level,
        unlabelled_person=snakemake.params.unlabelled_person,
    )
