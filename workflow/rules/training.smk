rule train:
    input:
        clips=CLIPS,
        manifest=rules.pair.output.manifest,
        alignments=rules.pair.output.alignments,
    output:
        checkpoint=f"{RESULTS}/training/checkpoint.pth",
        metrics=f"{RESULTS}/training/metrics.parquet",
    log:
        f"{LOGS}/train.log",
    # A job that was killed continues from its last checkpoint, in the same invocation.
    retries: config["retries"] if workflow.is_main_process else 0  # Else a job would try again within itself, too.
    threads: max(8, 4 * config["train"]["gpus"])
    resources:
        **training_resources(config["train"]["gpus"], config["train"]["nodes"]),
        runtime=2880,
        attempt=number_of_attempt,
    params:
        code=code_digest("emotalk.training.loop", "emotalk.training.device"),
        encoders=encoder_listing,
        initial=initial_weights_listing,
        folder=training_folder,
        attempts=f"{LOGS}/train.attempts.log",
        diagnosis=f"{LOGS}/train.nonfinite.json",
        train=canonical(config["train"]),
        model=canonical(config["model"]),
        seed=config["seed"],
    message:
        "Training the network"
    script:
        "../scripts/train.py"


rule extract:
    input:
        checkpoint=rules.train.output.checkpoint,
        clips=CLIPS,
    output:
        pth=f"{RESULTS}/weights/emotalk.pth",
        safetensors=f"{RESULTS}/weights/emotalk.safetensors",
        card=f"{RESULTS}/weights/emotalk.json",
    log:
        f"{LOGS}/extract.log",
    resources:
        mem_mb=16000,
        runtime=60,
    params:
        code=code_digest("emotalk.training.extraction"),
        recipe=canonical({name: config[name] for name in ("corpora", "smooth", "slice", "split", "pair", "train")}),
    message:
        "Extracting weights that the released code loads"
    script:
        "../scripts/extract.py"


# Only the workflow knows that a finished run was taken over; see emotalk.training.acceptance.
onsuccess:
    accept_finished(f"{RESULTS}/training")


onerror:
    accept_finished(f"{RESULTS}/training")
