"""Adapter of rule report."""

from emotalk.evaluation.report import write_report
from emotalk.logs import job_log

with job_log(snakemake.log[0]):
    write_report(
        snakemake.output.page,
        data_page=snakemake.input.data_page,
        losses=snakemake.input.losses,
        metrics=snakemake.input.metrics,
        card=snakemake.input.card,
        losses_figure_path=snakemake.output.losses,
        errors_figure_path=snakemake.output.errors,
    )
