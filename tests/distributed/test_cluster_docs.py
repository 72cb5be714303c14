"""The scripts of docs/cluster.md are ones that a shell and a YAML reader take, and name fields that exist."""

import re
import subprocess

import yaml

from lift_flax import presets
from tests import ROOT

TEXT = (ROOT / "docs" / "cluster.md").read_text()


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_scripts_are_shell():
    (slurm,) = _blocks("bash")
    (manifest,) = _blocks("yaml")
    *_, job = yaml.safe_load_all(manifest)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    for script in (slurm, container["args"][0]):
        ran = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
        assert ran.returncode == 0 and not ran.stderr, ran.stderr
        assert "python -m lift_flax.main" in script


def test_manifest_starts_a_process_for_every_machine_of_the_slice():
    service, job = yaml.safe_load_all(_blocks("yaml")[0])
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    sides = pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"].split("x")
    chips = pod["containers"][0]["resources"]["limits"]["google.com/tpu"]
    assert spec["completions"] == spec["parallelism"] == int(sides[0]) * int(sides[1]) // chips
    assert pod["subdomain"] == service["metadata"]["name"] and spec["completionMode"] == "Indexed"


def test_fields_exist():
    named = set(re.findall(r"`((?:mesh|train)\.[\w.]+)`", TEXT)) | set(re.findall(r"--config\.([\w.]+)=", TEXT))
    assert len(named) > 8
    for name in named:
        value = presets.defaults()
        for part in name.split("."):
            assert part in value, name
            value = value[part]
