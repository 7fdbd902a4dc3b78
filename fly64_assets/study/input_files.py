"""Input files that a study names."""

from collections.abc import Iterator

from fly64_assets.science.input_file import ScanInputError, resolve_input_file
from fly64_assets.study.faults import line_of
from fly64_assets.study.marks import Fault, Place, StudyFile
from fly64_assets.study.schema import Study


def missing_files(study: Study, file: StudyFile) -> list[Fault]:
    """A fault for each input file that a run of the study would read and that is not there."""
    faults = []
    for place, name in _named_files(study):
        try:
            resolve_input_file(name)
        except ScanInputError as error:
            faults.append(Fault(line_of(place, file.marks, {}), place, str(error)))
    return faults


def _named_files(study: Study) -> Iterator[tuple[Place, str]]:
    scan = study.scan
    if scan.source != "synthetic":
        yield ("scan", "file"), scan.file or ""
        return
    objects = [(("object",), scan.object)] if scan.objects is None else []
    objects += [(("objects", index), group) for index, group in enumerate(scan.objects or ())]
    for place, options in [(("probe",), scan.probe), *objects]:
        if options.kind == "file":
            yield ("scan", *place, "file"), options.file or ""
