"""What the files of each asset hold, column by column, for the pages of the catalog; and where it is documented."""

from pathlib import Path
from typing import Any

import dagster as dg

from fly64_assets.orchestration.graph.study_graph import AssetNode
from fly64_assets.science.metrics.tables import HISTORY, SCORES

DOCS = Path(__file__).parents[3] / "docs"

_DATA_001 = (
    ("diffraction", "float32 (n, N, N)", "Amplitude, sqrt(counts) / counts_scale; finite, >= 0, DC at [N/2, N/2]."),
    ("Y", "complex64 (n, N, N)", "The object's patch at each pattern's position, in the order of diffraction."),
    (
        "objectGuess",
        "complex64 (H, W)",
        "The whole object: the truth of a simulation, the reference of a measured scan.",
    ),
    ("probeGuess", "complex64 (modes, N, N)", "The probe; intensities of modes add. One mode may be (N, N)."),
    ("xcoords", "float64 (n,)", "Patch centres in object pixels, columns; every patch lies inside the object."),
    ("ycoords", "float64 (n,)", "Patch centres in object pixels, rows."),
    ("xcoords_start", "float64 (n,)", "Copy of xcoords, unless positions were perturbed."),
    ("ycoords_start", "float64 (n,)", "Copy of ycoords, unless positions were perturbed."),
    ("scan_index", "int64 (n,)", "Number of the pattern in the scan, each once."),
    ("expected_photons", "float64 (n,)", "Photons of each pattern without noise."),
    ("metadata", "JSON text", "Dose requested and measured, counts_scale, seed, split, parameter hash, versions."),
)
_PRODUCT = (
    (
        "object",
        "complex (layers, H, W)",
        "The reconstruction, with pixel_width_m, pixel_height_m, center_x_m, center_y_m.",
    ),
    ("probe", "complex (opr, modes, N, N)", "The probe in use."),
    ("probe_position_x_m", "float64 (n,)", "Positions, columns."),
    ("probe_position_y_m", "float64 (n,)", "Positions, rows."),
    ("probe_position_indexes", "int (n,)", "Number of each pattern in the scan."),
    ("fly64_positions_xy_px", "float64 (n, 2)", "The same positions in object pixels: x, y."),
    ("object_layer_spacing_m", "float64", "Empty for one layer."),
    ("loss_values", "float64", "Loss per epoch; empty for networks."),
    ("loss_epochs", "int", "Epochs of the losses."),
)
_SCAN = (
    ("objectGuess", "complex64 (H, W)", "The sample's transmission: a model, or a reference reconstructed by pty-chi."),
    ("probeGuess", "complex64 (modes, N, N)", "The illumination; intensities of modes add."),
    ("xcoords", "float64 (n,)", "Patch centres in object pixels, columns."),
    ("ycoords", "float64 (n,)", "Patch centres in object pixels, rows."),
    ("scan_index", "int64 (n,)", "Number of each position in the scan."),
    ("metadata", "JSON text", "Where the object comes from, and the pixel size."),
)

_COLUMNS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "scan": _SCAN,
    "simulated_dataset": _DATA_001,
    "overlap_view": _DATA_001,
    "trained_bundle": HISTORY.described(),
    "training": HISTORY.described(),
    "reconstruction": _PRODUCT,
    "comparison_metrics": SCORES.described(),
    "study_report": SCORES.described(),
}
_DOCUMENTED = {
    "scan": "contracts.md#physics",
    "simulated_dataset": "contracts.md#data-001-the-dataset",
    "overlap_view": "contracts.md#overlap",
    "trained_bundle": "contracts.md#bundles",
    "training": "contracts.md#bundles",
    "reconstruction": "contracts.md#reconstructions",
    "comparison_metrics": "tables.md#comparison_metricscsv",
    "study_report": "tables.md#comparison_metricscsv",
}


def described(node: AssetNode) -> dict[str, Any]:
    """What the files of an asset hold, column by column, and where that is documented."""
    columns = [dg.TableColumn(name, kind, text) for name, kind, text in _COLUMNS[node.family]]
    return {
        "dagster/column_schema": dg.TableSchema(columns=columns),
        "contract": dg.MetadataValue.path(str(DOCS / _DOCUMENTED[node.family])),
        "guide": dg.MetadataValue.path(str(DOCS / "guide" / "first_hour.md")),
    }
