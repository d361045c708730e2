"""Adapter of rule train."""

import json

from emotalk.logs import job_log
from emotalk.training.device import choose_device
from emotalk.training.loop import train
from emotalk.training.settings import TrainingSettings

with job_log(snakemake.log[0]):
    train(
        snakemake.input.clips,
        snakemake.input.manifest,
        snakemake.input.alignments,
        folder=snakemake.params.folder,
        settings=TrainingSettings.from_config(
            json.loads(snakemake.params.train), json.loads(snakemake.params.model), snakemake.params.seed
        ),
        device=choose_device(snakemake.resources.gpu, snakemake.threads),
    )
