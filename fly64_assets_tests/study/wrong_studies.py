"""Wrong studies: what a user may type, and the line and words of the refusal."""

from dataclasses import dataclass

RIGHT = """\
name: right
report:
  title: A study
  question: What?
doses: [1000, 10000]
seeds: [1]
scan:
  patch_size_px: 32
  object: {kind: mixed, shape_px: [124, 110]}
  probe: {kind: pupil}
  positions: {kind: raster, step_px: 6.0}
views:
  baseline: {gridsize: 1}
  dense:
    gridsize: 2
    overlap: 0.7
methods:
  pinn:
    kind: unrolled
    options:
      epochs: 8
  refined: {kind: map, starts_from: pinn}
  learned: {kind: supervised, trained_on: baseline}
  iterative: {kind: pty_chi}
schedule: {cron: "0 2 * * *"}
"""


@dataclass(frozen=True)
class Wrong:
    """A study with one wrong line.

    Attributes:
        line: the line of ``RIGHT`` that is replaced, from 1.
        typed: what stands there instead; may be several lines.
        refusal: how the refusal begins after the line number: place, then words.
        at: line of the refusal; None: the replaced line.
    """

    line: int
    typed: str
    refusal: str
    at: int | None = None

    @property
    def text(self) -> str:
        """The whole file."""
        lines = RIGHT.splitlines()
        lines[self.line - 1] = self.typed
        return "\n".join(lines) + "\n"


UNKNOWN_FIELDS = (
    Wrong(6, "seed: [1]", "seed: unknown field; did you mean 'seeds'?"),
    Wrong(6, "colour: red", "colour: unknown field (known: name, report,"),
    Wrong(3, "  title: A\n  titel: B", "report.titel: unknown field; did you mean 'title'?", at=4),
    Wrong(8, "  patch_size: 32", "scan.patch_size: unknown field; did you mean 'patch_size_px'?"),
    Wrong(9, "  object: {shape: [124, 110]}", "scan.object.shape: no such field; did you mean 'shape_px'?"),
    Wrong(10, "  probe: {fwhm_px: 3}", "scan.probe.fwhm_px: a field of kind gaussian (kind pupil takes"),
    Wrong(10, "  prob: {kind: pupil}", "scan.prob: unknown field; did you mean 'probe'?"),
    Wrong(11, "  positions: {step: 6.0}", "scan.positions.step: no such field; did you mean 'step_px'?"),
    Wrong(16, "    overlp: 0.7", "views.dense.overlp: unknown field; did you mean 'overlap'?"),
    Wrong(16, "    step_px: 6", "views.dense.step_px: no field here: write scan.positions.step_px"),
    Wrong(16, "    epochs: 6", "views.dense.epochs: no field here: write methods.<name>.options.epochs"),
    Wrong(6, "overlap: 0.7", "overlap: no field here: write views.<name>.overlap"),
    Wrong(6, "logger: csv", "logger: no field here: write execution.logger"),
    Wrong(
        19, "    kind: unrolled\n    trainedon: own", "methods.pinn.trainedon: unknown field; did you mean 'tr", at=20
    ),
    Wrong(21, "      epoch: 8", "methods.pinn.options.epoch: unknown field; did you mean 'epochs'?"),
    Wrong(
        21, "      refine_probe: true", "methods.pinn.options.refine_probe: an option of kind pty_chi (this kind takes"
    ),
    Wrong(21, "      num_workers: 2", "methods.pinn.options.num_workers: no field here: write execution.num_workers"),
    Wrong(
        22,
        "  refined: {kind: map, passes: 5}",
        "methods.refined.passes: no field here: write methods.refined.options.passe",
    ),
    Wrong(22, "  refined: {knd: map}", "methods.refined.knd: unknown field; did you mean 'kind'?"),
    Wrong(22, "  refined: {options: {passes: 5}}", "methods.refined.kind: missing: add it (Kind of method"),
    Wrong(25, "schedule: {crom: '0 2 * * *'}", "schedule.crom: unknown field; did you mean 'cron'?"),
)

UNKNOWN_KINDS = (
    Wrong(
        6, "scoring: {metrics: [phase_ssm]}", "scoring.metrics: unknown metric 'phase_ssm'; did you mean 'phase_ssim'?"
    ),
    Wrong(11, "  positions: {type: spiral}", "scan.positions.type: no such field; did you mean kind: spiral?"),
    Wrong(
        9, "  object: {kind: siemens}", "scan.object.kind: unknown kind of object 'siemens'; did you mean 'siemens_st"
    ),
    Wrong(9, "  object: cells", "scan.object: expected a mapping: write object: {kind: cells}"),
    Wrong(10, "  probe: {kind: pupl}", "scan.probe.kind: unknown kind of probe 'pupl'; did you mean 'pupil'?"),
    Wrong(
        11, "  positions: {kind: rastr}", "scan.positions.kind: unknown kind of scan path 'rastr'; did you mean 'raster"
    ),
    Wrong(
        8, "  source: measurd", "scan.source: expected synthetic, base_npz or measured, found 'measurd'; did you mean"
    ),
    Wrong(19, "    kind: unroled", "methods.pinn.kind: unknown kind of method 'unroled'; did you mean 'unrolled'?"),
    Wrong(
        21, "      network: unrolled_unt", "methods.pinn.options.network: unknown network 'unrolled_unt'; did you mean"
    ),
    Wrong(
        24,
        "  iterative: {kind: pty_chi, options: {algorithm: lsqml}}",
        "methods.iterative.options.algorithm: expected LSQML, rPIE or ePIE, found 'lsqml'; did you mean 'LSQML'?",
    ),
    Wrong(22, "  refined: map", "methods.refined: expected a mapping: write refined: {kind: map}"),
    Wrong(
        21, "      precision: bf16", "methods.pinn.options.precision: expected 32-true or bf16-mixed, found 'bf16'; did"
    ),
    Wrong(15, "    gridsize: 3", "views.dense.gridsize: expected 1 or 2, found 3"),
)

GIVEN_TWICE = (
    Wrong(6, "doses: [1000]", "doses: given twice, first in line 5: keep one of them"),
    Wrong(16, "    gridsize: 1", "views.dense.gridsize: given twice, first in line 15"),
    Wrong(14, "  baseline:", "views.baseline: given twice, first in line 13"),
    Wrong(22, "  pinn: {kind: map}", "methods.pinn: given twice, first in line 18"),
    Wrong(9, "  object: {kind: mixed, kind: cells}", "scan.object.kind: given twice, first in line 9"),
    Wrong(5, "doses: [1000, 1000.0]", "doses[1]: the dose 1e3 is given twice: remove one"),
    Wrong(5, "doses: [1000, 1000.0000001]", "doses[1]: the dose 1e3 is given twice"),
    Wrong(6, "seeds: [1, 2, 1]", "seeds[2]: the seed 1 is given twice: remove one"),
)

NUMBERS = (
    Wrong(5, "doses: [1000 10000]", "doses[0]: '1000 10000' is one text to YAML: write 1000, 10000"),
    Wrong(5, "doses: [10'000]", 'doses[0]: "10\'000" is text to YAML: write 10000'),
    Wrong(5, "dose: 1000", "dose: expected a mapping with method, found 1000; did you mean 'doses'?"),
    Wrong(8, "  patch_size_px: 32x32", "scan.patch_size_px: '32x32' is text to YAML: write 32"),
    Wrong(16, "    overlap: 70", "views.dense.overlap: 70 is too large: overlap is a fraction, not percent: write 0.7"),
    Wrong(16, "    overlap: 70%", "views.dense.overlap: '70%' is text, expected a fraction: write 0.7"),
    Wrong(16, "    s_img: 80", "views.dense.s_img: 80 is too large: s_img is a fraction, not percent: write 0.8"),
    Wrong(
        16, "    overlap: 1.5", "views.dense.overlap: 1.5 is too large: overlap is a fraction, at least 0 and below 1"
    ),
    Wrong(16, "    overlap: -0.1", "views.dense.overlap: -0.1 is too small: overlap is a fraction, at least 0"),
    Wrong(16, "    overlap: true", "views.dense.overlap: expected a number, found true"),
    Wrong(16, "    overlap: '0.7'", "views.dense.overlap: '0.7' in quotes is text: write 0.7"),
    Wrong(16, "    overlap: 0,7", "views.dense.overlap: '0,7' is text to YAML: write 0.7"),
    Wrong(16, "    overlap: much", "views.dense.overlap: expected a number, found 'much'"),
    Wrong(16, "    overlap: [0.7]", "views.dense.overlap: expected a number, found a list of 1"),
    Wrong(16, "    overlap: {is: 0.7}", "views.dense.overlap: expected a number, found a mapping"),
    Wrong(16, "    overlap: .nan", "views.dense.overlap: .nan is no finite number"),
    Wrong(16, "    overlap: 2024-01-01", "views.dense.overlap: expected a number, found 2024-01-01 (a date)"),
    Wrong(5, "doses: [1000, .inf]", "doses[1]: .inf is no finite number"),
    Wrong(5, "doses: [1e3]", "doses[0]: 1e3 is text to YAML: write 1000 or 1.0e+3"),
    Wrong(5, "doses: [-1000]", "doses[0]: -1000 is too small: expected above 0"),
    Wrong(5, "doses: [0]", "doses[0]: 0 is too small: expected above 0"),
    Wrong(5, "doses: [1:30]", "doses[0]: 1:30 is in base 60 to YAML: write it in base 10"),
    Wrong(5, "doses: 1000", "doses: expected a list: write [1000]"),
    Wrong(5, "doses: 1000, 10000", "doses: expected a list, found text: write [1000, 10000]"),
    Wrong(5, "doses: []", "doses: is empty: expected at least one"),
    Wrong(5, "doses:", "doses: nothing is written here: expected a list"),
    Wrong(6, "default_doses: [7]", "default_doses[0]: 7 is not among doses (1000, 10000)"),
    Wrong(6, "seeds: [-1]", "seeds[0]: -1 is too small: expected at least 0"),
    Wrong(6, "seeds: [1.5]", "seeds[0]: expected a whole number, found 1.5"),
    Wrong(6, "seeds: [1.0]", "seeds[0]: 1.0 is no whole number to YAML: write 1"),
    Wrong(6, "seeds: [010]", "seeds[0]: 010 is octal to YAML: write 10"),
    Wrong(6, "seeds: [true]", "seeds[0]: expected a whole number, found true"),
    Wrong(8, "  patch_size_px: 33", "scan.patch_size_px: 33 is odd: write 32 or 34"),
    Wrong(8, "  patch_size_px: 2", "scan.patch_size_px: 2 is too small: expected at least 4 and at most 4096"),
    Wrong(8, "  patch_size_px: 8192", "scan.patch_size_px: 8192 is too large: expected at least 4 and at most 4096"),
    Wrong(
        8, "  patch_size_px: 32 px", "scan.patch_size_px: '32 px' is text, expected a whole number without a unit: w"
    ),
    Wrong(8, "  patch_size_px: 128", "scan: an object of 124 x 110 px holds no patch of 128 px", at=7),
    Wrong(9, "  object: {shape_px: [24, 110]}", "scan: an object of 24 x 110 px holds no patch of 32 px", at=7),
    Wrong(9, "  object: {shape_px: 124}", "scan.object.shape_px: expected a list: write [124, 124]"),
    Wrong(9, "  object: {shape_px: [124]}", "scan.object.shape_px: expected a list of 2, found a list of 1"),
    Wrong(9, "  object: {shape_px: [124, 110, 3]}", "scan.object.shape_px: expected a list of 2, found a list of 3"),
    Wrong(21, "      epochs: 0", "methods.pinn.options.epochs: 0 is too small: expected at least 1 and at most 100000"),
    Wrong(21, "      epochs: 1e3", "methods.pinn.options.epochs: 1e3 is text to YAML: write 1000"),
    Wrong(21, "      deterministic: 1", "methods.pinn.options.deterministic: 1 is a number: write true"),
    Wrong(
        21, "      deterministic: ture", "methods.pinn.options.deterministic: expected true or false, found 'ture'; did"
    ),
)

TEXTS_AND_NAMES = (
    Wrong(1, "name: Bad Name", "name: 'Bad Name' is no name: up to 40 lower-case letters, digits and _"),
    Wrong(1, "name: 2024", "name: 2024 is a number to YAML, expected text: put it in quotes"),
    Wrong(1, "", "name: missing: add it (Name of the study", at=1),
    Wrong(3, "  title: no", "report.title: no is a truth value to YAML, expected text: put it in quotes"),
    Wrong(13, "  no: {gridsize: 1}", "views.no: 'no' as a name is no text to YAML (bool)"),
    Wrong(13, "  Base-line: {gridsize: 1}", "views.Base-line: 'Base-line' is no name"),
    Wrong(12, "vews:", "vews: unknown field; did you mean 'views'?"),
    Wrong(14, "  dense: [1]\n  other:", "views.dense: expected a mapping with overlap, s_img, gridsize"),
)

WHAT_DOES_NOT_FIT = (
    Wrong(
        8,
        "  objects: [{kind: mixed, number: 2, shape_px: [124, 110]}]",
        "scan.objects: object and objects are both given: keep one of them",
    ),
    Wrong(9, "  objects: []", "scan.objects: is empty: expected at least one"),
    Wrong(
        9,
        "  objects: [{kind: mixed, shape_px: [124, 110]}, {kind: cells, shape_px: [124, 111]}]",
        "scan.objects[1].shape_px: is [124, 111], the first object [124, 110]: all lie under the same positions",
    ),
    Wrong(9, "  objects: [{kind: siemens_star, number: 2}]", "scan.objects[0].number: 2 is too large: expected at"),
    Wrong(9, "  objects: [{kind: natural_image, number: 41}]", "scan.objects[0].number: 41 is too large: expected at"),
    Wrong(9, "  objects: [{kind: cels}]", "scan.objects[0].kind: unknown kind of object 'cels'; did you mean 'cells'?"),
    Wrong(
        9,
        "  source: base_npz\n  file: x.npz\n  objects: [{kind: mixed, shape_px: [124, 110]}]",
        "scan.objects: a scan with source base_npz has its own object: remove objects",
        at=11,
    ),
    Wrong(
        22,
        "  refined: {kind: map, replicates_on: [dens]}",
        "methods.refined.replicates_on[0]: 'dens' is no view of this study; did you mean 'dense'?",
    ),
    Wrong(
        22,
        "  refined: {kind: map, starts_from: pin}",
        "methods.refined.starts_from: 'pin' is no method of this study; did",
    ),
    Wrong(
        22,
        "  refined: {kind: map, starts_from: refined}",
        "methods.refined.starts_from: starts from itself: refined -> r",
    ),
    Wrong(
        22,
        "  a: {kind: map, starts_from: b}\n  b: {kind: map, starts_from: c}\n  c: {kind: map, starts_from: b}",
        "methods.b.starts_from: starts from itself: b -> c -> b: let one of them start flat",
        at=23,
    ),
    Wrong(
        23,
        "  learned: {kind: supervised, starts_from: pinn}",
        "methods.learned.starts_from: kind supervised starts flat",
    ),
    Wrong(
        23,
        "  learned: {kind: supervised, trained_on: base}",
        "methods.learned.trained_on: 'base' is no view of this st",
    ),
    Wrong(
        22, "  refined: {kind: map, trained_on: dense}", "methods.refined.trained_on: kind map trains on no view: remo"
    ),
    Wrong(16, "    trains: pin", "views.dense.trains: 'pin' is no method of this study; did you mean 'pinn'?"),
    Wrong(
        16, "    trains: learned", "views.dense.trains: learned is not trained on this view: its trained_on is baseline"
    ),
    Wrong(
        16,
        "    trains: refined",
        "views.dense.trains: refined is not trained on this view: its kind map trains nothing",
    ),
    Wrong(
        13, "  baseline: {gridsize: 1, trains: pinn}", "views.baseline.trains: pinn is not trained on this view: its ne"
    ),
    Wrong(16, "    overlap: 0.7\n    s_img: 0.5", "views.dense: a view thins by overlap or by s_img", at=14),
    Wrong(16, "    neighbor_count: 4", "views.dense: OVERSAMPLING-001: gridsize 2 needs neighbor_count above 4", at=14),
    Wrong(
        13, "  baseline: {gridsize: 1, groups_per_position: 2}", "views.baseline: OVERSAMPLING-001: groups_per_position"
    ),
    Wrong(6, "dose: {method: thin}", "dose.method: thin needs measured counts, scan.source is synthetic"),
    Wrong(8, "  source: measured", "scan: scan.source is 'measured': name the input in scan.file", at=7),
    Wrong(10, "  probe: {kind: file}", "scan.probe.file: missing: add it"),
    Wrong(25, "schedule: {cron: '0 25 * * *'}", "schedule.cron: hour '25' is not in 0-23; for example '0 2 * * *'"),
    Wrong(
        25, "schedule: {cron: every night}", "schedule.cron: expected five fields (minute, hour, day, month, weekday)"
    ),
)

MOVED = (
    Wrong(
        6,
        "training: {pinn: {epochs: 3}}",
        "training: moved: write methods.<name>.options (kind unrolled or supervised)",
    ),
    Wrong(6, "refine: {passes: 20}", "refine: moved: write methods.<name>.options (kind map)"),
    Wrong(
        6, "pty_chi: {epochs: 3, start: pinn}", "pty_chi: moved: write methods.<name>: {kind: pty_chi, options: ...}"
    ),
    Wrong(16, "    network: supervised", "views.dense.network: moved: write trains: <method>"),
    Wrong(6, "dose: {tolerance: 0.1}", "dose.tolerance: moved: write checks.dose_tolerance"),
    Wrong(
        24,
        "  iterative: {kind: pty_chi, options: {start: pinn}}",
        "methods.iterative.options.start: moved: write methods.<name>.starts_from, beside kind",
    ),
)

YAML = (
    Wrong(16, "\toverlap: 0.7", "a tab: YAML is indented with spaces"),
    Wrong(3, "  title: A study: dose", "a second colon: put text that holds a colon in quotes"),
    Wrong(5, "doses: [1000, 10000", "[ is opened here and not closed by ] before line 6"),
    Wrong(10, "  probe: {kind: pupil", "{ is opened here and not closed by } before line 11"),
    Wrong(3, "  title: 'A study", "a quote is opened here and never closed"),
    Wrong(3, "  title: 'A study' of dose", "text after a closing quote or bracket: put the whole text in quotes"),
    Wrong(4, "   question: What?", "this line continues the line before: indent it as its neighbours"),
    Wrong(16, "      overlap: 0.7", "this line continues the line before"),
    Wrong(5, "doses:\n- 1000\n-100", "an item of a list is a dash, a space and a value", at=7),
    Wrong(
        13, "  baseline: {gridsize:1}", "views.baseline.'gridsize:1': a space is missing after the colon: write grid"
    ),
    Wrong(
        9, "  object: {shape_px: (124, 110)}", "scan.object.'110)': 110) stands alone: write a decimal number with a"
    ),
    Wrong(9, "  object: {shape_px: 124x110}", "scan.object.shape_px: expected a list, found text: write [124, 110]"),
    Wrong(12, "<<<<<<< mine", "<<<<<<< is left of two versions of the file"),
    Wrong(16, "   overlap: 0.7", "this line is indented differently from its neighbours"),
    Wrong(6, "seeds", "expected a colon after 'seeds', as in name: value"),
    Wrong(9, "  object: *star", "*star refers to no &star"),
    Wrong(3, "  title: %a", "text that starts with % needs quotes"),
    Wrong(3, "  title: !!python/name:os.system a", "report.title: !!python/name:os.system has no meaning in a study"),
    Wrong(6, "---", "a second document (---): a study file holds one"),
    Wrong(3, "  title: A\x07", "control character 0x07: remove it"),
    Wrong(9, "  object: &o {kind: cells, of: *o}", "an alias refers to what it stands in"),
    Wrong(6, "? [1, 2]\n: 3", "a key is a name, found a list or mapping"),
    Wrong(15, "    gridsize: 2, neighbor_count: 8", "a second colon"),
    Wrong(
        9, "  object: {shape_px: 124, 110}", "scan.object.110: 110 stands alone: write a decimal number with a point"
    ),
)

WRONG = (
    *UNKNOWN_FIELDS,
    *UNKNOWN_KINDS,
    *GIVEN_TWICE,
    *NUMBERS,
    *TEXTS_AND_NAMES,
    *WHAT_DOES_NOT_FIT,
    *MOVED,
    *YAML,
)
