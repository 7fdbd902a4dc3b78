"""The child process of the pty-chi arm, and the only module that imports ptychi.

pty-chi sets torch's default device and dtype for the whole process, hence a process of its own. Run as
``python -m fly64_assets.science.methods.pty_chi_child`` by :mod:`.pty_chi`.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fly64_assets.science.child_process import Message, Send, serve
from fly64_assets.science.torch_runtime import limit_threads, require_torch

INTENSITY_FILE, OBJECT_FILE, PROBE_FILE, POSITIONS_FILE = "intensity.npy", "object.npy", "probe.npy", "positions.npy"
RESULT_OBJECT_FILE, RESULT_PROBE_FILE = "result_object.npy", "result_probe.npy"


def reconstruct(requests: Iterator[Message], send: Send) -> None:
    """Run the requested epochs on the arrays in the request's folder, sending ``{"epoch", "loss"}`` after each.

    After the epochs in ``keep_epochs``, object and probe are saved and ``{"kept", "cpu_seconds"}`` is sent; the
    time that saving takes counts nowhere.
    """
    request = next(requests)
    directory = Path(request["folder"])
    require_torch()
    import ptychi.api as api
    from ptychi.api.task import PtychographyTask

    limit_threads(request["threads"])
    cpu_start = time.process_time()
    patterns = np.load(directory / INTENSITY_FILE, mmap_mode="c", allow_pickle=False)
    probe = np.load(directory / PROBE_FILE, allow_pickle=False)
    positions_xy = np.load(directory / POSITIONS_FILE, allow_pickle=False)
    size = patterns.shape[-1]
    task = PtychographyTask(
        task_options(api, request, size),
        diffraction_data=patterns,
        object_data=np.load(directory / OBJECT_FILE, allow_pickle=False)[None],
        probe_data=probe[None],
        probe_position_x_px=positions_xy[:, 0] - size / 2,
        probe_position_y_px=positions_xy[:, 1] - size / 2,
    )
    del patterns
    solver: Any = task.reconstructor
    # Random batches draw from the loader's own generator, which pty-chi leaves unseeded.
    solver.dataloader.generator.manual_seed(request["seed"])
    kept = frozenset(request["keep_epochs"])
    for epoch in range(1, request["epochs"] + 1):
        task.run(1)
        send({"epoch": epoch, "loss": float(solver.loss_tracker.table["loss"].iloc[-1])})
        if epoch in kept:
            reached = time.process_time()
            save_result(task, directory / kept_folder(epoch))
            send({"kept": epoch, "cpu_seconds": reached - cpu_start})
            cpu_start += time.process_time() - reached


def save_result(task: Any, folder: Path) -> None:
    """Write object and probe as they are now."""
    folder.mkdir()
    np.save(folder / RESULT_OBJECT_FILE, task.get_data_to_cpu("object", as_numpy=True)[0])
    np.save(folder / RESULT_PROBE_FILE, task.get_data_to_cpu("probe", as_numpy=True)[0])


def kept_folder(epoch: int) -> str:
    """Name of the folder that holds what was kept after an epoch."""
    return f"epoch_{epoch}"


def task_options(api: Any, request: Message, patch_size_px: int) -> Any:
    """pty-chi's option tree for a request.

    A fixed probe takes three settings: it is not optimised, the object is not rescaled to unit mean
    transmission, and the first epoch is not spent on rescaling the probe (a refined probe has been
    scaled to the counts beforehand).
    """
    classes = {
        "LSQML": api.LSQMLOptions,
        "rPIE": api.RPIEOptions,
        "ePIE": api.EPIEOptions,
    }
    options = classes[request["algorithm"]]()
    solver = options.reconstructor_options
    solver.num_epochs = request["epochs"]
    solver.batch_size = request["batch_size"]
    solver.batching_mode = api.BatchingModes(request["batching"])
    solver.random_seed = request["seed"]
    solver.default_device = api.Devices(request["device"])
    solver.allow_nondeterministic_algorithms = False
    _algorithm_options(api, options, request)

    options.object_options.determine_position_origin_coords_by = api.ObjectPosOriginCoordsMethods.SPECIFIED
    options.object_options.position_origin_coords = [(patch_size_px - 1) / 2] * 2
    refine_probe = request["refine_probe"]
    options.object_options.remove_object_probe_ambiguity.enabled = refine_probe
    options.probe_options.optimizable = refine_probe
    options.probe_options.orthogonalize_incoherent_modes.enabled = refine_probe
    options.probe_position_options.optimizable = False
    return options


def _algorithm_options(api: Any, options: Any, request: Message) -> None:
    if request["algorithm"] == "LSQML":
        solver = options.reconstructor_options
        solver.noise_model = api.NoiseModels(request["noise_model"])
        solver.momentum_acceleration_gain = request["momentum"]
        solver.rescale_probe_intensity_in_first_epoch = False
    else:
        options.object_options.alpha = request["alpha"]
        options.object_options.step_size = request["step_size"]


if __name__ == "__main__":
    serve(reconstruct)
