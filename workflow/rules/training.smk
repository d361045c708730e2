rule encoders:
    """Check that the encoders are available, and download them if they are on the Hugging Face Hub."""
    output:
        encoders=f"{RESULTS}/training/encoders.json",
    log:
        f"{LOGS}/encoders.log",
    priority: 100
    resources:
        mem_mb=1000,
        runtime=120,
    params:
        version=STAGE_VERSIONS["encoders"],
        encoders=encoder_digest,
        initial=initial_weights_digest,
        model=canonical(config["model"]),
        init_weights=canonical(config["train"]["init_weights"]),
    message:
        "Checking the encoders, and downloading them if needed"
    script:
        "../scripts/encoders.py"


rule train:
    """Train the network; for a finished run with the same data and settings, only the outputs are written."""
    input:
        clips=CLIP_FILES,
        manifest=rules.pair.output.manifest,
        encoders=rules.encoders.output.encoders,
    output:
        checkpoint=f"{RESULTS}/training/checkpoint.pth",
        metrics=f"{RESULTS}/training/metrics.parquet",
    log:
        f"{LOGS}/train.log",
    threads: max(8, 4 * config["train"]["gpus"])
    resources:
        **training_resources(config["train"]["gpus"], config["train"]["nodes"]),
        runtime=2880,
        start_over=start_over,
    params:
        version=STAGE_VERSIONS["train"],
        encoders=encoder_digest,
        initial=initial_weights_digest,
        folder=training_folder,
        train=canonical(config["train"]),
        model=canonical(config["model"]),
        seed=config["seed"],
    message:
        "Training the network"
    script:
        "../scripts/train.py"


rule extract:
    """Extract weights with the parameter names of the released EmoTalk code."""
    input:
        checkpoint=rules.train.output.checkpoint,
        clips=CLIP_FILES,
        manifest=rules.pair.output.manifest,
        captured=list(VIDEO_TABLES.values()),
    output:
        pth=f"{RESULTS}/weights/emotalk.pth",
        safetensors=f"{RESULTS}/weights/emotalk.safetensors",
        card=f"{RESULTS}/weights/emotalk.json",
        emotions=f"{RESULTS}/weights/emotalk.emotions.safetensors",
    log:
        f"{LOGS}/extract.log",
    threads: 8
    resources:
        mem_mb=6000,
        runtime=60,
    params:
        version=STAGE_VERSIONS["extract"],
        captured=list(VIDEO_TABLES),
        settings=canonical(
            {name: config[name] for name in ("recipe", "corpora", "smooth", "slice", "split", "pair", "train")}
        ),
    message:
        "Extracting weights with the released parameter names"
    script:
        "../scripts/extract.py"
