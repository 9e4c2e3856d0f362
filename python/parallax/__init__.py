"""Check that an MLX-quantized text encoder still matches its float32 ONNX original.

    report = parallax.check("reference", "candidate", corpus=["sentences.txt"])
    report.raise_for_verdict()

Runs the program `parallax` that this package brings along, and reads its report.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from typing import Any, Iterable, Sequence, Union

from ._program import program

__all__ = [
    "BadInputError",
    "FailedError",
    "Finding",
    "Gate",
    "InconclusiveError",
    "InternalError",
    "ParallaxError",
    "Reason",
    "Report",
    "SetupError",
    "UsageError",
    "check",
    "program",
    "recheck",
]

PathLike = Union[str, "os.PathLike[str]"]


class ParallaxError(Exception):
    """What a run of parallax can end with besides a PASS. `exit_code` is the program's."""

    exit_code = 70


class FailedError(ParallaxError):
    """FAIL: the two sides contradict each other, or a limit is exceeded."""

    exit_code = 1


class UsageError(ParallaxError):
    """A flag or a policy file is wrong."""

    exit_code = 2


class InconclusiveError(ParallaxError):
    """INCONCLUSIVE: not proven comparable, or too little evidence."""

    exit_code = 3


class BadInputError(ParallaxError):
    """A model, tokenizer, corpus or report is malformed, unsafe or contradicts itself."""

    exit_code = 4


class SetupError(ParallaxError):
    """No usable ONNX Runtime, too little memory, disk full, unwritable output."""

    exit_code = 5


class InternalError(ParallaxError):
    """A bug in parallax."""


_ERRORS: dict[int, type[ParallaxError]] = {
    error.exit_code: error for error in (FailedError, UsageError, InconclusiveError, BadInputError, SetupError)
}


@dataclass(frozen=True)
class Reason:
    """Why the verdict is no PASS. `parallax explain CODE` tells more of its code."""

    code: str
    message: str


@dataclass(frozen=True)
class Finding:
    """Something a person should know; `severity` is note, warning, failure or refusal."""

    code: str
    severity: str
    message: str


@dataclass(frozen=True)
class Gate:
    """One limit: where, on what, and what was observed."""

    on: str
    arm: str | None
    metric: str
    stat: str
    limit: float
    observed: float | None
    outcome: str


@dataclass(frozen=True)
class Report:
    """One run. `data` is the whole report.json; its JSON Schema is printed by `parallax schema`."""

    verdict: str
    exit_code: int
    #: Is the candidate what its format makes of the original: yes, no or unproven.
    faithful: str
    #: Is what the format costs within the policy's limits: yes, no, unproven or not_asked.
    fit: str
    reasons: list[Reason]
    findings: list[Finding]
    gates: list[Gate]
    data: dict[str, Any] = field(repr=False)

    @property
    def passed(self) -> bool:
        """True for a PASS, and only for that."""
        return self.verdict == "pass" and self.exit_code == 0

    def raise_for_verdict(self) -> None:
        """Raise FailedError or InconclusiveError, with the reasons, unless the verdict is PASS."""
        if self.passed:
            return
        said = "; ".join(reason.message for reason in self.reasons) or self.verdict
        raise _ERRORS.get(self.exit_code, InternalError)(said)

    @classmethod
    def from_json(cls, text: str | bytes) -> Report:
        """Read a report.json. `recheck` also proves that it was not edited."""
        data = json.loads(text)

        def number(value: Any) -> float | None:
            return None if value is None else float(value)

        return cls(
            verdict=data["verdict"],
            exit_code=data["exit_code"],
            faithful=data["faithful"],
            fit=data["fit"],
            reasons=[Reason(r["code"], r["message"]) for r in data["reasons"]],
            findings=[Finding(f["code"], f["severity"], f["message"]) for f in data["findings"]],
            gates=[
                Gate(
                    g["on"],
                    g.get("arm"),
                    g["metric"],
                    g["stat"],
                    float(g["limit"]),
                    number(g.get("observed")),
                    g["outcome"],
                )
                for g in data["gates"]
            ],
            data=data,
        )


def check(
    reference: PathLike,
    candidate: PathLike,
    *,
    corpus: Iterable[PathLike] = (),
    original: PathLike | None = None,
    policy: PathLike | None = None,
    baseline: PathLike | None = None,
    out: PathLike | None = None,
    limit: int | None = None,
    prompt: str | None = None,
    max_length: int | None = None,
    dim: int | None = None,
    runtime: str | None = None,
    threads: int | None = None,
    explain: bool = False,
    arguments: Sequence[str] = (),
) -> Report:
    """Compare two models and return the report, whatever the verdict.

    `arguments` are further flags of `parallax check`, as on a command line. Raises a ParallaxError of the
    exit code's class where a run ends without a report.
    """
    command = ["check", "--quiet", "--format", "json", "--reference", os.fspath(reference)]
    command += ["--candidate", os.fspath(candidate)]
    for file in corpus:
        command += ["--corpus", os.fspath(file)]
    options = {
        "--original": original,
        "--policy": policy,
        "--baseline": baseline,
        "--out": out,
        "--limit": limit,
        "--prompt": prompt,
        "--max-length": max_length,
        "--dim": dim,
        "--runtime": runtime,
        "--threads": threads,
    }
    for flag, value in options.items():
        if value is not None:
            command.append(f"{flag}={os.fspath(value) if isinstance(value, os.PathLike) else value}")
    if explain:
        command.append("--explain")
    return _run([*command, *arguments])


def recheck(report: PathLike, *, policy: PathLike | None = None, baseline: PathLike | None = None) -> Report:
    """Judge a saved report.json by other limits. Nothing is run."""
    command = ["recheck", "--format", "json", os.fspath(report)]
    if policy is not None:
        command.append(f"--policy={os.fspath(policy)}")
    if baseline is not None:
        command.append(f"--baseline={os.fspath(baseline)}")
    return _run(command)


def _run(arguments: Sequence[str]) -> Report:
    done = subprocess.run([program(), *arguments], capture_output=True, check=False)
    if done.returncode in (0, 1, 3) and done.stdout.strip():
        report = Report.from_json(done.stdout)
        if report.exit_code != done.returncode:
            raise InternalError(f"exit code {done.returncode}, and the report says {report.exit_code}")
        return report
    said = done.stderr.decode(errors="replace").strip().splitlines()
    message = said[-1] if said else f"parallax ended with {done.returncode} and said nothing"
    raise _ERRORS.get(done.returncode, InternalError)(message)
