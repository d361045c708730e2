configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/corpus.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/evaluation.smk"


localrules:
    demo_corpus,
    check,


rule all:
    """Everything: train, extract weights, evaluate, report."""
    default_target: True
    input:
        rules.report.output,
        rules.check.output,
