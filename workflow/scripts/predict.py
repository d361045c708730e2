"""Adapter of rule predict."""

import json

from emotalk.inference.predict import predict_folder
from emotalk.logs import job_log
from emotalk.training.device import choose_device

with job_log(snakemake.log[0]):
    settings = json.loads(snakemake.params.predict)
    predict_folder(
        settings.pop("audio"),
        snakemake.output.motion,
        weights=settings.pop("weights") or snakemake.input.card,
        device=choose_device(snakemake.resources.gpu, snakemake.threads),
        **settings,
    )
