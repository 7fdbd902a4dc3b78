"""training_manifest.json and skip_summary.json: one entry per training job, kept current under concurrent runs."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fly64_assets.storage import FileRecord, update_json

if TYPE_CHECKING:
    from fly64_assets.science.methods.record import TrainingResult


MANIFEST_FILE = "training_manifest.json"
SKIPS_FILE = "skip_summary.json"
LEDGER_FILES = frozenset({MANIFEST_FILE, SKIPS_FILE})


@dataclass(frozen=True)
class JobKey:
    """One training job; ``folder`` is relative to the data root. Dose and view are None where it is for the probe."""

    dose: float | None
    view: str | None
    method: str | None
    gridsize: int | None
    seed: int
    folder: str

    @property
    def identity(self) -> dict[str, Any]:
        """The fields that tell jobs apart."""
        return {key: value for key, value in asdict(self).items() if key != "folder"}


class TrainingLedger:
    """The two files beside trained_bundle. Fields are added over time, never removed."""

    def __init__(self, data_root: Path) -> None:
        """Find the files under a data root."""
        self.data_root = data_root
        self.manifest = data_root / "trained_bundle" / MANIFEST_FILE
        self.skips = data_root / "trained_bundle" / SKIPS_FILE

    def record_start(self, job: JobKey) -> None:
        """A job has begun; an earlier skip of it is over, an earlier bundle stands until the new one replaces it."""
        self._update(job, {"status": "running", "error": None, "log_path": f"{job.folder}/train.log"})
        if self.skips.exists():
            update_json(self.skips, lambda value: _without(value, "skipped", job))

    def record_failure(self, job: JobKey, error: str) -> None:
        """A job ended without a new bundle."""
        self._update(job, {"status": "failed", "error": error})

    def record_success(self, job: JobKey, result: "TrainingResult", bundle_path: str, record: FileRecord) -> None:
        """A job ended with a bundle."""
        self._set(
            job,
            {
                "status": "completed",
                "error": None,
                "log_path": f"{job.folder}/train.log",
                "final_loss": float(result.final_loss),
                "epochs_completed": result.epochs_completed,
                "bundle_path": bundle_path,
                "bundle_sha256": record.sha256,
                "bundle_size_bytes": record.size_bytes,
            },
        )

    def record_skip(self, job: JobKey, reason: str) -> None:
        """A job was not run, for a reason that its data give."""
        self._set(job, {"status": "skipped", "reason": reason})
        entry = {**job.identity, "reason": reason}
        update_json(self.skips, lambda value: _with(value, "skipped", job, entry))

    def settle_interrupted(self, in_progress: Callable[[float | None, str | None], bool]) -> None:
        """Jobs that stand as running, but whose dose and view no run works on, were interrupted."""

        def settled(entry: dict[str, Any]) -> dict[str, Any]:
            if entry["status"] != "running" or in_progress(entry["dose"], entry["view"]):
                return entry
            return {**entry, "status": "failed", "error": "interrupted: its process is gone"}

        if self.manifest.exists():
            update_json(self.manifest, lambda value: {**value, "jobs": [settled(job) for job in value.get("jobs", [])]})

    def _set(self, job: JobKey, fields: dict[str, Any]) -> None:
        update_json(self.manifest, lambda value: _with(value, "jobs", job, {**job.identity, **fields}))

    def _update(self, job: JobKey, fields: dict[str, Any]) -> None:
        """Set fields of a job, and keep what else is known of it, but for the reason of a skip that is over."""

        def updated(value: dict[str, Any]) -> dict[str, Any]:
            known = next((entry for entry in value.get("jobs", []) if _same(entry, job)), job.identity)
            kept = {name: known[name] for name in known if name != "reason"}
            return _with(value, "jobs", job, {**kept, **fields})

        update_json(self.manifest, updated)


def _with(value: dict[str, Any], section: str, job: JobKey, entry: dict[str, Any]) -> dict[str, Any]:
    entries = [known for known in value.get(section, []) if not _same(known, job)]
    entries.append(entry)
    entries.sort(key=_place)
    return {**value, section: entries}


def _place(entry: dict[str, Any]) -> tuple[Any, ...]:
    """Where an entry stands: trainings for the probe first, then by dose and view."""
    return (entry["dose"] or 0.0, entry["view"] or "", str(entry.get("method")), entry["gridsize"] or 0, entry["seed"])


def _without(value: dict[str, Any], section: str, job: JobKey) -> dict[str, Any]:
    return {**value, section: [known for known in value.get(section, []) if not _same(known, job)]}


def _same(entry: dict[str, Any], job: JobKey) -> bool:
    return all(entry.get(key) == value for key, value in job.identity.items())
