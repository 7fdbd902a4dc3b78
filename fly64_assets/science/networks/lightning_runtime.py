"""Lightning made a quiet guest: no tips on the terminal, and interrupts stay interrupts."""

import contextlib
import logging
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from fly64_assets.science.torch_runtime import require_torch

require_torch()

from lightning.pytorch import Callback, Trainer  # noqa: E402
from lightning.pytorch.utilities.exceptions import SIGTERMException  # noqa: E402

_KNOWN_REMARKS = (
    ".*does not have many workers.*",
    ".*number of training batches.*",
    ".*Experiment logs directory.*",
    ".*exists and is not empty.*",
    ".*does not have a deterministic implementation.*",
    ".*isinstance.treespec, LeafSpec.*",
)


def bare_trainer(
    folder: Path, callbacks: list[Callback], *, epochs: int, accelerator: str, deterministic: bool = True, **others: Any
) -> Trainer:
    """A trainer on one device that prints nothing and keeps nothing but what its callbacks keep.

    Args:
        folder: where a logger, if there is one, writes.
        callbacks: in their order.
        epochs: how many, at most.
        accelerator: where to train.
        deterministic: same bits for the same seed, as far as the device can.
        others: further arguments of Lightning's own trainer.
    """
    return Trainer(
        accelerator=accelerator,
        devices=1,
        max_epochs=epochs,
        # On a GPU some operators have no deterministic form: the fastest deterministic one is then asked for only.
        deterministic=deterministic and ("warn" if torch.cuda.is_available() else True),
        callbacks=callbacks,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        log_every_n_steps=1_000_000,
        use_distributed_sampler=False,
        default_root_dir=folder,
        **others,
    )


@contextlib.contextmanager
def interrupts_kept() -> Iterator[None]:
    """Lightning turns Ctrl-C into an exit and ignores it from then on; callers expect an interrupt, and a handler."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as stopped:
        if isinstance(stopped.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from stopped
        if isinstance(stopped, SIGTERMException):
            sys.exit(128 + signal.SIGTERM)
        raise
    finally:
        if in_main_thread:
            signal.signal(signal.SIGINT, handler)


@contextlib.contextmanager
def quiet_lightning() -> Iterator[None]:
    """Lightning's tips and its remarks on small data loaders say nothing that a user can act on."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for text in _KNOWN_REMARKS:
                warnings.filterwarnings("ignore", message=text)
            yield
    finally:
        logger.setLevel(level)
