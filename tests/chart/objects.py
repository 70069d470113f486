"""What the chart makes, as objects."""

import os
import pathlib
import subprocess

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/understudy"
RELEASE, NAMESPACE = "test", "search"
SEEN = set()


class StrictLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """A key that stands twice is an error, not the last one."""


def mapping(loader, node):
    loader.flatten_mapping(node)
    keys = [loader.construct_object(key) for key, _ in node.value]
    twice = {key for key in keys if keys.count(key) > 1}
    if twice:
        raise ValueError(f"{twice} stands twice in one map, in line {node.start_mark.line + 1}")
    return {loader.construct_object(key): loader.construct_object(value, deep=True) for key, value in node.value}


StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)


def helm(values, version="1.30", release=RELEASE, namespace=NAMESPACE, more=()):
    """What `helm template` says."""
    command = [os.environ["HELM"], "template", release, str(CHART), "--namespace", namespace, "--values", str(values)]
    return subprocess.run(
        command + ["--kube-version", version, *more], capture_output=True, text=True, check=False
    )


def load(text):
    return [one for one in yaml.load_all(text, Loader=StrictLoader) if one]


def name(one):
    return f"{one['kind']} {one['metadata']['name']}"


def pods(objects):
    """Each object that has pods, and their specification."""
    for one in objects:
        if one["kind"] == "Pod":
            yield one, one["metadata"], one["spec"]
        elif one["kind"] in ("Deployment", "StatefulSet"):
            template = one["spec"]["template"]
            yield one, template["metadata"], template["spec"]
