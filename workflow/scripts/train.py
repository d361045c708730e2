"""Adapter of rule train."""

import json

from emotalk.logs import job_log
from emotalk.training.launch import TrainingJob, launch

with job_log(snakemake.log[0]):
    inputs, params, resources = snakemake.input, snakemake.params, snakemake.resources
    train = json.loads(params.train)
    launch(
        TrainingJob(
            files={
                "clips": list(inputs.clips),
                "manifest": inputs.manifest,
                "folder": params.folder,
            },
            train=train,
            model=json.loads(params.model),
            seed=params.seed,
            gpus=resources.gpu if train["nodes"] == 1 else train["gpus"],  # On several nodes Slurm grants all.
            threads=snakemake.threads,
            log=snakemake.log[0],
            start_over_before=resources.start_over,
        )
    )
