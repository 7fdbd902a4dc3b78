"""What can be changed for a single run in the launchpad or on the command line. Empty means: as in the study.

Types, bounds and choices are those of the option records in ``science/options.py``. A value outside
them is refused when the run is asked for, before it exists: Dagster's own numbers know no bounds, and
bounds of a ``dg.Config`` class are looked at only inside the step. An override enters the parameter
hash, so what it made is stale for the study as its file stands.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import dagster as dg
from dagster._config.config_type import ConfigScalar, ConfigScalarKind  # no public name exists for checked scalars
from dagster._config.errors import PostProcessingError
from pydantic import Field

from fly64_assets.orchestration.catalog.final_line import repeat_at_the_end
from fly64_assets.orchestration.graph.workspace import Workspace
from fly64_assets.science.options import Options, PtyChiOptions, TrainingOptions
from fly64_assets.study import Study

TRAINING_FIELDS = {
    "epochs": "Passes over the training groups.",
    "batch_size": "Groups per optimizer step.",
    "learning_rate": "Peak learning rate.",
    "n_images": "Limit of training patterns.",
    "accelerator": "Where to train.",
    "precision": "Arithmetic; bf16-mixed is for GPUs.",
    "deterministic": "Same seed, machine and threads: same bundle, bit for bit.",
    "max_minutes": "Time budget; breaks determinism.",
    "num_workers": "Data-loading processes.",
    "logger": "none: no history.csv.",
    "checkpointing": "Off: a killed training starts again.",
}
PTY_CHI_FIELDS = {
    "epochs": "Passes of pty-chi over the patterns; fixed in advance, never chosen by the truth.",
    "noise_model": "Likelihood that pty-chi maximizes; poisson needs LSQML or Autodiff.",
}

_KINDS = {"integer": ConfigScalarKind.INT, "number": ConfigScalarKind.FLOAT}
_LIMITS: dict[str, tuple[str, Callable[[float, float], bool]]] = {
    "minimum": ("at least", float.__ge__),
    "exclusiveMinimum": ("above", float.__gt__),
    "maximum": ("at most", float.__le__),
    "exclusiveMaximum": ("below", float.__lt__),
}


class SeedOptions(Options):
    """The seed of a study that has one."""

    seed: int = Field(default=1, ge=0, le=2**31 - 1)


class BoundedNumber(ConfigScalar):
    """A number that Dagster checks against its bounds when a run is asked for."""

    def __init__(self, name: str, kind: ConfigScalarKind, limits: Mapping[str, float]) -> None:
        """Name the type; ``limits`` are JSON Schema's minimum, exclusiveMinimum, maximum, exclusiveMaximum."""
        self.limits = dict(limits)
        self.bounds = " and ".join(f"{_LIMITS[key][0]} {_plain(value)}" for key, value in limits.items())
        super().__init__(key=name, given_name=name, scalar_kind=kind, description=self.bounds)

    def post_process(self, value: float) -> float:
        """The value, if it is within bounds.

        Raises:
            PostProcessingError: it is not; the message gives bounds and value.
        """
        if not all(_LIMITS[key][1](float(value), float(limit)) for key, limit in self.limits.items()):
            message = f"expected a number {self.bounds}, got {value!r}"
            repeat_at_the_end(f"{self.given_name} is out of bounds: {message}; nothing was run")
            raise PostProcessingError(message)
        return value


def training_config(study: Study) -> dict[str, dg.Field]:
    """Fields of trained_bundle's run configuration."""
    networks = sorted({options.network for options in study.views.values()})
    used = {network: study.training.get(network, TrainingOptions()) for network in networks}
    fields = {
        name: _field(TrainingOptions, name, text, _in_study({key: getattr(used[key], name) for key in networks}))
        for name, text in TRAINING_FIELDS.items()
    }
    return {**fields, **seed_config(study, "Seed of the network's start and of the order of its groups.")}


def seed_config(study: Study, text: str) -> dict[str, dg.Field]:
    """The field ``seed``; none for a study of several seeds, whose partitions hold a folder for each."""
    first, *others = study.seeds
    return {} if others else {"seed": _field(SeedOptions, "seed", text, str(first))}


def with_training_overrides(study: Study, view: str, config: Mapping[str, Any]) -> Study:
    """The study with a run's overrides in the training options of a view's network, and its seed."""
    changes = {name: value for name, value in config.items() if value is not None and name in TRAINING_FIELDS}
    if changes:
        options = TrainingOptions.model_validate({**study.training_of(view).model_dump(), **changes})
        study = study.with_training(study.views[view].network, options)
    return with_seed(study, config)


def with_seed(study: Study, config: Mapping[str, Any]) -> Study:
    """The study with a run's own seed."""
    seed = config.get("seed")
    return study if seed is None else study.with_changes(seeds=[seed])


def workspace_resource(workspace: Workspace) -> dg.ResourceDefinition:
    """The workspace of a run; its configuration changes pty-chi's options for that run."""
    used = workspace.study.pty_chi
    fields = {
        name: _field(PtyChiOptions, name, text, str(getattr(used, name))) for name, text in PTY_CHI_FIELDS.items()
    }
    if used.algorithm not in ("LSQML", "Autodiff"):
        del fields["noise_model"]

    def configured(context: dg.InitResourceContext) -> Workspace:
        given = (context.resource_config or {}).get("pty_chi") or {}
        changes = {name: value for name, value in given.items() if value is not None}
        if not changes:
            return workspace
        study = workspace.study.with_changes(pty_chi={**used.model_dump(mode="json"), **changes})
        return replace(workspace, study=study)

    schema = {"pty_chi": dg.Field(fields, is_required=False, description="Read by pty_chi_reconstruction alone.")}
    return dg.ResourceDefinition(configured, config_schema=schema, description="The study and its data root.")


def _field(options: type[Options], name: str, text: str, in_study: str) -> dg.Field:
    schema = options.model_json_schema()["properties"][name]
    kind = {**schema, **next(part for part in schema.get("anyOf", [schema]) if part.get("type") != "null")}
    type_name = f"{options.__name__.removesuffix('Options')}_{name}"
    described = [text]
    if "enum" in kind:
        inner: Any = dg.Enum(type_name, [dg.EnumValue(value) for value in kind["enum"]])
        described.append(f"One of {', '.join(kind['enum'])}.")
    elif kind["type"] in _KINDS:
        limits = {key: kind[key] for key in _LIMITS if key in kind}
        inner = BoundedNumber(type_name, _KINDS[kind["type"]], limits)
        described.append(f"A number {inner.bounds}.")
    else:
        inner = {"boolean": bool, "string": str}[kind["type"]]
    described.append(f"null: as in the study ({in_study}).")
    return dg.Field(dg.Noneable(inner), default_value=None, is_required=False, description=" ".join(described))


def _plain(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else str(number)


def _in_study(values: Mapping[str, Any]) -> str:
    if len(set(values.values())) == 1:
        return str(next(iter(values.values())))
    return ", ".join(f"{network} {value}" for network, value in values.items())
