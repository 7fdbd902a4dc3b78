"""Every option is described and bounded; objects, probes and paths are chosen by kind, each with its function."""

import inspect

import pytest
from pydantic import TypeAdapter, ValidationError

from fly64_assets.science import options
from fly64_assets.science.options import (
    CellsObject,
    FileObject,
    FileProbe,
    GaussianProbe,
    MixedObject,
    ObjectOptions,
    Options,
    PositionOptions,
    ProbeOptions,
    PupilProbe,
    RasterPath,
    ScanOptions,
    SpiralPath,
    ZonePlateProbe,
)
from fly64_assets.science.physics.object import OBJECT_KINDS
from fly64_assets.science.physics.probe import PROBE_KINDS
from fly64_assets.science.physics.scan_positions import PATH_KINDS

CLASSES = [found for _, found in inspect.getmembers(options, inspect.isclass) if issubclass(found, Options)]
FIELDS = [(found, name) for found in CLASSES for name in found.model_fields]
UNIONS = {
    "object": (ObjectOptions, OBJECT_KINDS),
    "probe": (ProbeOptions, PROBE_KINDS),
    "path": (PositionOptions, PATH_KINDS),
}


def is_bounded(schema):
    """Whether a JSON schema lets only finitely large values through; references are records of their own."""
    if "$ref" in schema or "const" in schema or "enum" in schema or schema.get("type") in ("null", "boolean"):
        return True
    if alternatives := schema.get("anyOf") or schema.get("oneOf"):
        return all(map(is_bounded, alternatives))
    if schema.get("type") in ("integer", "number"):
        return bool({"minimum", "exclusiveMinimum"} & set(schema)) and bool(
            {"maximum", "exclusiveMaximum"} & set(schema)
        )
    if schema.get("type") == "string":
        return "maxLength" in schema
    return "maxItems" in schema and all(map(is_bounded, schema.get("prefixItems") or [schema["items"]]))


@pytest.mark.parametrize(
    ("schema", "bounded"),
    [
        ({"type": "integer", "minimum": 1}, False),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, True),
        ({"anyOf": [{"type": "null"}, {"type": "number", "maximum": 1}]}, False),
        ({"type": "string"}, False),
        ({"type": "array", "maxItems": 2, "prefixItems": [{"type": "integer"}] * 2}, False),
    ],
)
def test_the_judge_of_bounds_tells_open_fields_from_closed_ones(schema, bounded):
    assert is_bounded(schema) == bounded


@pytest.mark.parametrize(("record", "name"), FIELDS, ids=[f"{found.__name__}.{name}" for found, name in FIELDS])
def test_every_option_has_a_description_and_bounds(record, name):
    schema = record.model_json_schema()["properties"][name]
    assert len(schema.get("description", "")) > 5
    assert is_bounded(schema)


@pytest.mark.parametrize("record", CLASSES, ids=[found.__name__ for found in CLASSES])
def test_defaults_are_within_their_own_bounds_and_records_are_frozen(record):
    needed = {"file": "f.npz"} if "file" in record.model_fields else {}
    made = record(**needed)
    assert record.model_validate(made.model_dump()) == made
    for name in record.model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(made, name, getattr(made, name))


@pytest.mark.parametrize("name", UNIONS)
def test_every_kind_has_options_and_a_function(name):
    union, table = UNIONS[name]
    schema = TypeAdapter(union).json_schema()
    assert set(schema["discriminator"]["mapping"]) == set(table)


@pytest.mark.parametrize(
    ("value", "made"),
    [
        ({}, ScanOptions()),
        ({"probe": {"defocus_rad": 4}}, ScanOptions(probe=PupilProbe(defocus_rad=4.0))),
        ({"probe": {"kind": "gaussian", "fwhm_px": 9}}, ScanOptions(probe=GaussianProbe(fwhm_px=9.0))),
        ({"probe": {"kind": "zone_plate"}}, ScanOptions(probe=ZonePlateProbe())),
        ({"probe": {"kind": "file", "file": "p.npz"}}, ScanOptions(probe=FileProbe(file="p.npz"))),
        ({"object": {"shape_px": [99, 88]}}, ScanOptions(object=MixedObject(shape_px=(99, 88)))),
        ({"object": {"kind": "cells"}}, ScanOptions(object=CellsObject())),
        ({"object": {"kind": "file", "file": "o.png"}}, ScanOptions(object=FileObject(file="o.png"))),
        ({"positions": {"step_px": 3}}, ScanOptions(positions=RasterPath(step_px=3.0))),
        ({"positions": {"kind": "spiral"}}, ScanOptions(positions=SpiralPath())),
    ],
)
def test_a_mapping_becomes_the_record_of_its_kind_and_returns(value, made):
    found = ScanOptions.model_validate(value)
    assert found == made
    assert [type(getattr(found, part)) for part in ("probe", "object", "positions")] == [
        type(getattr(made, part)) for part in ("probe", "object", "positions")
    ]
    assert ScanOptions.model_validate(found.model_dump(mode="json")) == made


@pytest.mark.parametrize(
    ("value", "place", "message"),
    [
        (
            {"probe": {"kind": "pupl"}},
            ("probe", "kind"),
            r"'pupl'; did you mean 'pupil'\? \(known: pupil, zone_plate, ",
        ),
        (
            {"object": {"kind": "zzz"}},
            ("object", "kind"),
            r"unknown kind of object 'zzz' \(known: mixed, natural_image, ",
        ),
        ({"positions": {"kind": ["spiral"]}}, ("positions", "kind"), r"\(known: raster, spiral\)"),
        ({"probe": {"fwhm_px": 3}}, ("probe", "fwhm_px"), r"a field of kind gaussian \(kind pupil takes pupil_radius"),
        ({"probe": {"kind": "gaussian", "defocus_rad": 1}}, ("probe", "defocus_rad"), "of kind pupil or zone_plate"),
        ({"probe": {"kind": "gaussian", "fwhm": 1}}, ("probe", "fwhm"), r"no such field; did you mean 'fwhm_px'\?"),
        ({"object": {"file": "x.png"}}, ("object", "file"), "a field of kind file"),
        ({"object": {"kind": "file"}}, ("object", "file"), "Field required"),
        ({"probe": {"kind": "file"}}, ("probe", "file"), "Field required"),
        ({"object": {"shape_px": [0, 90]}}, ("object", "shape_px", 0), "greater than or equal to 1"),
        ({"probe": {"pupil_radius_cycles_per_px": 0.5}}, ("probe", "pupil_radius_cycles_per_px"), "less than 0.5"),
        ({"probe": 5}, ("probe",), "valid dictionary"),
        ({"patch_size_px": 63}, ("patch_size_px",), "multiple of 2"),
        ({"patch_size_px": 240}, (), r"object of 232 x 232 px holds no patch of 240 px.*enlarge object\.shape_px"),
        ({"positions": {"margin_px": 85}}, (), r"a margin of 85\.0 px"),
    ],
)
def test_a_fault_stands_in_its_place_and_says_what_could_be_meant(value, place, message):
    with pytest.raises(ValidationError, match=message) as caught:
        ScanOptions.model_validate(value)
    assert [fault["loc"] for fault in caught.value.errors()] == [place]


def test_all_faults_of_a_record_are_told():
    with pytest.raises(ValidationError) as caught:
        ScanOptions.model_validate({"probe": {"kind": "gaussian", "fwhm_px": -1, "defocus_rad": 2}, "seed": -1})
    assert {fault["loc"] for fault in caught.value.errors()} == {
        ("probe", "fwhm_px"),
        ("probe", "defocus_rad"),
        ("seed",),
    }
