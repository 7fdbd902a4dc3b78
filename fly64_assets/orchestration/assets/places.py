"""Whether a method has a place in a cell: what the study's options, the view's data and its upstream say."""

from fly64_assets.orchestration.catalog.gate import PartitionFiles
from fly64_assets.orchestration.catalog.publishing import NotHereError, PartitionRun, UntrainableError
from fly64_assets.orchestration.graph import files
from fly64_assets.storage import read_json
from fly64_assets.study.parameters import MethodParameters


def require_place(run: PartitionRun[MethodParameters]) -> None:
    """Go on only where the method can work.

    Raises:
        UntrainableError: the view keeps too few positions; the whole cell is skipped.
        NotHereError: the method alone has no place here, or what it rests on has none.
    """
    view = run.inputs.get("overlap_view")  # a training for the probe reads none
    reason = untrainable_reason(run.files("overlap_view")) if view else None
    if reason is not None:
        raise UntrainableError(reason)
    if run.parameters.not_here is not None:
        raise NotHereError(run.parameters.not_here)
    for source in (source for found in run.inputs.values() for source in found.values()):
        if source.skip_reason is not None:
            message = f"it rests on {source.item}, which was skipped: {source.skip_reason}"
            raise NotHereError(message)


def untrainable_reason(view: PartitionFiles) -> str | None:
    """Why nothing is trained on a view or reconstructed from it; None if it can be."""
    summary = read_json(view.path(files.OVERLAP_METRICS))
    return None if summary["trainable"] else summary["reason"]
