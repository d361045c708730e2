"""Adapter of rule predict."""

import json

from emotalk.config.prediction import PredictSettings
from emotalk.device import choose_device
from emotalk.inference.predict import predict_folder
from emotalk.logs import job_log

with job_log(snakemake.log[0]):
    settings = PredictSettings(**json.loads(snakemake.params.predict))
    predict_folder(
        snakemake.output.motion,
        settings,
        weights=settings.weights or snakemake.input.card,
        device=choose_device(snakemake.resources.gpu, snakemake.threads),
    )
