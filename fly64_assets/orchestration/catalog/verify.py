"""``fly64 verify``: the whole data root against the catalog, file by file."""

from dataclasses import dataclass
from pathlib import Path

from fly64_assets.orchestration.catalog.freshness import Freshness, plan
from fly64_assets.orchestration.catalog.gate import changed_files
from fly64_assets.orchestration.catalog.ledger import LEDGER_FILES


@dataclass(frozen=True)
class Finding:
    """One deviation: its kind (missing, changed, foreign or stale), where, and what to do."""

    kind: str
    where: str
    remedy: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.kind:8}{self.where}\n        {self.remedy}"


def verify_data_root(freshness: Freshness) -> list[Finding]:
    """Everything that is missing, changed, foreign or stale; empty if the data root is as the catalog says."""
    snapshot = freshness.snapshot()
    findings: list[Finding] = []
    known: set[Path] = set()
    for item in freshness.graph.walk_order():
        entry = snapshot.entry(item)
        if entry is None:
            continue
        folder = freshness.data_root / item.folder
        known |= {folder / name for name in entry.files}
        for fault in changed_files(folder, entry):
            kind = "missing" if " is missing" in fault else "changed"
            findings.append(Finding(kind, f"{item}: {fault}", f"rebuild with: {item.command}"))
    damaged = {finding.where.split(":")[0] for finding in findings}
    # Cells that were never asked for do not make the report over the others stale.
    for state in plan(freshness, freshness.graph.walk_order(), carried=("stale",)):
        if state.status == "stale" and str(state.item) not in damaged:
            reasons = "; ".join(state.reasons)
            findings.append(Finding("stale", f"{state.item}: {reasons}", f"rebuild with: {state.item.command}"))
    return findings + _foreign(freshness, known)


def _foreign(freshness: Freshness, known: set[Path]) -> list[Finding]:
    found = []
    data_root = freshness.data_root
    for family in sorted({node.family for node in freshness.graph.nodes.values()}):
        for path in sorted((data_root / family).rglob("*")):
            hidden = any(part.startswith(".") for part in path.relative_to(data_root).parts)
            if path.is_file() and not hidden and path not in known and path.name not in LEDGER_FILES:
                remedy = "the catalog of this study does not list it; nothing reads it; remove it if you do not need it"
                found.append(Finding("foreign", str(path), remedy))
    return found
