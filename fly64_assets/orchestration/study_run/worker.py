"""The body of a worker process: executes the partitions that :mod:`.pool` sends.

Run as ``python -m fly64_assets.orchestration.study_run.worker``. Its first message holds the study and the data root,
every further one a task.
"""

import signal
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from fly64_assets.science.child_process import Message, Send, serve
from fly64_assets.science.records import Progress


def work(requests: Iterator[Message], send: Send) -> None:
    """Execute tasks until the process is ended; sends ``{"progress": ...}`` and at last ``{"outcome": ...}``."""
    # Dagster marks an interrupted run as such. It also makes this handler that of SIGTERM: ignoring it would hang.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    import dagster as dg

    from fly64_assets.orchestration.catalog.instance import study_instance
    from fly64_assets.orchestration.code_location import build_definitions
    from fly64_assets.orchestration.graph.partitions import PartitionId
    from fly64_assets.orchestration.study_run.runs import execute_partition
    from fly64_assets.study import Study

    def listener(progress: Progress) -> None:
        send({"progress": asdict(progress)})

    introduction = next(requests)
    study, data_root = Study.model_validate_json(introduction["study"]), Path(introduction["data_root"])
    definitions = build_definitions(study, data_root, listener)
    with study_instance(data_root, study.name) as instance:
        for task in requests:
            item = PartitionId(**task["item"])
            try:
                outcome = execute_partition(
                    definitions, instance, item, run_config=task["run_config"], tags=task["tags"]
                )
            except dg.DagsterError as error:
                send({"outcome": {"success": False, "cause": " ".join(str(error).split()), "run_id": ""}})
                continue
            send({"outcome": {"success": outcome.success, "cause": outcome.cause, "run_id": outcome.run_id}})


if __name__ == "__main__":
    serve(work)
