"""Adapter of rule train."""

import json
import os

from emotalk.logs import job_log
from emotalk.training.job import TrainingJob

train = json.loads(snakemake.params.train)
was_tried = snakemake.resources.attempt > 1 or "SLURM_RESTART_COUNT" in os.environ
with job_log(snakemake.log[0], snakemake.params.attempts, goes_on=was_tried):
    TrainingJob(
        clips=list(snakemake.input.clips),
        manifest=snakemake.input.manifest,
        alignments=snakemake.input.alignments,
        folder=snakemake.params.folder,
        diagnosis=snakemake.params.diagnosis,
        train=train,
        model=json.loads(snakemake.params.model),
        seed=snakemake.params.seed,
        gpus=snakemake.resources.gpu if train["nodes"] == 1 else train["gpus"],  # On several nodes Slurm grants all.
        threads=snakemake.threads,
        log=snakemake.log[0],
        attempts_log=snakemake.params.attempts,
    ).start()
