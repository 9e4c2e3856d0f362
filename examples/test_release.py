"""A release test: the model that is shipped must pass, and one that is not good enough must not.

    pip install . pytest && pytest examples/test_release.py
"""

import pathlib

import parallax
import pytest

MODELS = pathlib.Path(__file__).parent.parent / "models"


def check(candidate, **options):
    corpus = [MODELS / "corpus.txt"]
    return parallax.check(MODELS / "parallax-mini", MODELS / candidate, corpus=corpus, limit=150, **options)


def test_the_model_passes():
    report = check("parallax-mini-mlx-8bit")
    report.raise_for_verdict()
    assert report.passed
    assert all(gate.outcome == "pass" for gate in report.gates)


def test_four_bits_cost_more_than_the_strictest_level_allows():
    report = check("parallax-mini-mlx-4bit", policy="strict")
    assert (report.verdict, report.exit_code) == ("fail", 1)
    assert (report.faithful, report.fit) == ("yes", "no")
    with pytest.raises(parallax.FailedError, match="similarity_shift"):
        report.raise_for_verdict()
    assert any(reason.code == "gate.exceeded" for reason in report.reasons)


def test_a_saved_report_is_judged_again(tmp_path):
    check("parallax-mini-mlx-8bit", out=tmp_path)
    assert parallax.recheck(tmp_path / "report.json").passed
    saved = tmp_path / "report.json"
    saved.write_text(saved.read_text().replace('"exit_code": 0', '"exit_code": 1'))
    with pytest.raises(parallax.BadInputError):
        parallax.recheck(saved)


def test_errors_have_the_class_of_the_exit_code():
    with pytest.raises(parallax.BadInputError, match="no-such-model"):
        check("no-such-model")
    with pytest.raises(parallax.UsageError):
        check("parallax-mini-mlx-8bit", policy="no-such-policy")
    with pytest.raises(parallax.SetupError):
        check("parallax-mini-mlx-8bit", arguments=["--ort-lib", "/nowhere"])
