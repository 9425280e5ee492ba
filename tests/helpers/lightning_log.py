"""Logs as Lightning writes them."""


def write_log(folder, text="epoch,step,train_loss\n0,0,1.5\n0,1,1.25\n", hparams="lr: 0.1\nmodel:\n  depth: 3\n"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    if hparams is not None:
        (folder / "hparams.yaml").write_text(hparams)
    return folder
