"""Adapter of rule encoders."""

import json

from emotalk.config.training import InitialWeights, ModelSettings
from emotalk.logs import job_log
from emotalk.model.initial import fetch_initial_weights

with job_log(snakemake.log[0]):
    fetch_initial_weights(
        ModelSettings(**json.loads(snakemake.params.model)),
        InitialWeights(**json.loads(snakemake.params.init_weights)),
        snakemake.output.encoders,
    )
