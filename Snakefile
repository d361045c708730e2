from pathlib import Path

from snakemake.utils import min_version

min_version("9.27")


if Path("config/config.yaml").exists():  # Optional: other working folders have none.

    configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/corpus.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/evaluation.smk"


localrules:
    demo_corpus,
    encoders,
    check,


rule all:
    """Everything: train, extract weights, evaluate, report."""
    default_target: True
    input:
        rules.report.output,
        rules.check.output,


onsuccess:
    log_summary()
