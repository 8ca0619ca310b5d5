"""The command line as a newcomer meets it: help, one-line errors, listing profiles."""

import subprocess
import sys

import pytest

from lib_stability.profile import storage
from lib_stability.shell import cli


def run(capsys, *arguments):
    try:
        status = cli.main(list(arguments))
    except SystemExit as stop:
        status = stop.code
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.mark.parametrize("command", [[], ["demo"], ["evaluate"], ["bench"], ["profiles"], ["testbed"], ["testbed", "train"]])
def test_every_command_explains_itself(capsys, command):
    status, out, _ = run(capsys, *command, "--help")
    assert status == 0 and "usage" in out


def test_demo_help_explains_what_can_be_chosen(capsys):
    _, out, _ = run(capsys, "demo", "--help")
    for option in ("--sampler", "--steps", "--guidance", "--seed", "--prompt", "--mode", "--sensitivity"):
        assert option in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["demo", "--steps", "0"], "--steps"),
        (["demo", "--steps", "many"], "'many' is not a whole number"),
        (["demo", "--guidance", "nan"], "--guidance"),
        (["demo", "--guidance", "99"], "--guidance"),
        (["demo", "--mode", "explode"], "--mode"),
        (["demo", "--sensitivity", "extreme"], "--sensitivity"),
        (["demo", "--sampler", "Magic"], "'Magic'"),
        (["demo", "--schedule", "steep"], "'steep'"),
        (["demo", "--prompt", "a unicorn"], "does not know the word 'unicorn'"),
        (["demo", "--negative", "unicorn"], "does not know the word 'unicorn'"),
        (["evaluate", "--profile", "/nowhere/at-all.json"], "at-all.json"),
        (["profiles", "--plot", "region.png"], "--plot wants the NAME"),
        (["profiles", "versions", "Nobody"], "no profile is named 'Nobody'"),
        (["profiles", "versions", "Testbed"], "'Testbed' has no older versions"),
        (["testbed", "copies", "--weights", __file__], "holds no weights of the testbed"),
        (["testbed", "calibrate", "--runs", "2"], "--runs"),
        (["nonsense"], "nonsense"),
    ],
)
def test_bad_values_get_one_line(capsys, tmp_path, arguments, said):
    extra = ["--out", str(tmp_path)] if arguments[0] == "demo" else []
    status, _, err = run(capsys, *arguments, *extra)
    assert status == 2
    assert said in err and len(err.strip().splitlines()) == 1


def test_profiles_lists_what_is_bundled(capsys):
    status, out, _ = run(capsys, "profiles")
    assert status == 0
    for profile in storage.load_all([storage.BUNDLED])[0]:
        assert profile.name in out
    assert "bundled prior" in out and "bundled calibration" in out


def test_profiles_shows_one_with_its_false_alarm_rates_and_plots_it(capsys, tmp_path):
    status, out, _ = run(capsys, "profiles", "Testbed", "--plot", str(tmp_path / "region.png"))
    assert status == 0
    assert "medium" in out and "expected false alarms 1 %" in out and "prompts_sha256" in out
    assert (tmp_path / "region.png").read_bytes().startswith(b"\x89PNG")


def test_a_broken_profile_is_named_and_the_rest_listed(capsys, tmp_path):
    (tmp_path / "broken.json").write_text('{"format": "memorization-guard-profile", "version": 99}')
    status, out, err = run(capsys, "profiles", "--folder", str(tmp_path))
    assert status == 0 and "Testbed" in out
    assert "broken.json.version: 99 is newer" in err


def test_an_unknown_profile_is_said_so(capsys):
    status, _, err = run(capsys, "profiles", "Nobody")
    assert status == 2 and "'Nobody'" in err


def test_the_core_imports_without_the_testbeds_libraries():
    code = """
import sys
for name in ("diffusers", "transformers", "k_diffusion", "scipy", "matplotlib", "safetensors", "tqdm"):
    sys.modules[name] = None
import lib_stability.guard.guard, lib_stability.profile.profiles, lib_stability.trail.infotext
import lib_stability.profile.calibration, lib_stability.shell.cli
lib_stability.shell.cli.main(["profiles"])
assert not any(name.startswith("modules") for name in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
