rule evaluate:
    """Predict and score the test split."""
    input:
        card=rules.extract.output.card,
        weights=rules.extract.output.safetensors,
        emotions=rules.extract.output.emotions,
        clips=CLIP_FILES,
        manifest=rules.pair.output.manifest,
    output:
        predictions=directory(f"{RESULTS}/predictions"),
        swapped=directory(f"{RESULTS}/evaluation/swapped"),
        by_name=directory(f"{RESULTS}/evaluation/by_name"),
        metrics=report(
            f"{RESULTS}/evaluation/metrics.csv",
            caption="../report/metrics.rst",
            category="2 Evaluation",
            labels={"content": "Metrics of all test clips"},
        ),
        by_clip=f"{RESULTS}/evaluation/clips.parquet",
        groups=report(
            f"{RESULTS}/evaluation/groups.csv",
            caption="../report/groups.rst",
            category="2 Evaluation",
            labels={"content": "Metrics by corpus and sentence"},
        ),
        comparisons=report(
            f"{RESULTS}/evaluation/comparisons.csv",
            caption="../report/comparisons.rst",
            category="2 Evaluation",
            labels={"content": "Model compared with baselines"},
        ),
        channels=f"{RESULTS}/evaluation/channels.csv",
    log:
        f"{LOGS}/evaluate.log",
    threads: 8
    resources:
        gpu=1,
        mem_mb=8000,
        runtime=240,
    params:
        version=STAGE_VERSIONS["evaluate"],
        evaluate=evaluate_settings,
        basis=basis_digest,
        seed=config["seed"],
    message:
        "Predicting and scoring the test split"
    script:
        "../scripts/evaluate.py"


rule check:
    """Check that the network beats the mean face (evaluate.required_improvement)."""
    input:
        metrics=rules.evaluate.output.metrics,
    output:
        verdict=f"{RESULTS}/evaluation/check.txt",
    log:
        f"{LOGS}/check.log",
    resources:
        mem_mb=500,
        runtime=10,
    params:
        version=STAGE_VERSIONS["check"],
        required=config["evaluate"]["required_improvement"],
    message:
        "Checking evaluate.required_improvement"
    script:
        "../scripts/check.py"


rule data_page:
    """Show the data on one page, before training."""
    input:
        recordings=rules.index.output.recordings,
        tracks=TRACK_FILES,
        clips=CLIP_FILES,
        manifest=rules.pair.output.manifest,
        captured=list(VIDEO_TABLES.values()),
        templates=TEMPLATES,
    output:
        page=report(
            f"{RESULTS}/report/data.html",
            caption="../report/data.rst",
            category="3 Data",
            labels={"content": "Recordings, issues and examples"},
        ),
    log:
        f"{LOGS}/data_page.log",
    priority: 50
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        version=STAGE_VERSIONS["data_page"],
        captured=list(VIDEO_TABLES),
        min_confidence=config["index"]["min_confidence"],
    message:
        "Writing the data page {output.page}"
    script:
        "../scripts/data_page.py"


rule report:
    """Write the report: losses, metrics and faces on one page."""
    input:
        data_page=rules.data_page.output.page,
        losses=rules.train.output.metrics,
        predictions=rules.evaluate.output.predictions,
        swapped=rules.evaluate.output.swapped,
        metrics=rules.evaluate.output.metrics,
        by_clip=rules.evaluate.output.by_clip,
        groups=rules.evaluate.output.groups,
        comparisons=rules.evaluate.output.comparisons,
        channels=rules.evaluate.output.channels,
        clips=CLIP_FILES,
        manifest=rules.pair.output.manifest,
        card=rules.extract.output.card,
        templates=TEMPLATES,
    output:
        page=report(
            f"{RESULTS}/report/index.html",
            caption="../report/page.rst",
            category="1 Result",
            labels={"content": "Report with faces, losses and metrics"},
        ),
        summary=f"{RESULTS}/report/summary.txt",
    log:
        f"{LOGS}/report.log",
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        version=STAGE_VERSIONS["report"],
    message:
        "Writing the report {output.page}"
    script:
        "../scripts/report.py"


rule predict:
    """Predict blendshapes for new recordings (predict.audio)."""
    input:
        card=[] if config["predict"]["weights"] else rules.extract.output.card,
        tensors=[] if config["predict"]["weights"] else rules.extract.output.safetensors,
        emotions=[] if config["predict"]["weights"] else rules.extract.output.emotions,
    output:
        motion=directory(f"{RESULTS}/predicted"),
    log:
        f"{LOGS}/predict.log",
    threads: 8
    resources:
        gpu=1,
        mem_mb=8000,
        runtime=240,
    params:
        version=STAGE_VERSIONS["predict"],
        audio=audio_digest,
        weights=weights_digest,
        predict=canonical(config["predict"]),
    message:
        "Predicting blendshapes for the recordings of predict.audio"
    script:
        "../scripts/predict.py"
