"""The chart: every file of values against schemas, promises and the product; wrong values refused in words; copies current."""

import collections
import concurrent.futures
import pathlib
import shutil
import subprocess
import sys

import yaml

import objects
import product
import promises
import schemas

HERE = pathlib.Path(__file__).resolve().parent
ROOM = objects.ROOT / "target/chart-test"
COPIES = {
    "deploy/prometheus/rules.yml": "rules.yml",
    "deploy/grafana/understudy.json": "understudy.json",
}
# What the values together must make, so that nothing is left out of the test unnoticed.
KINDS = """ConfigMap Deployment HorizontalPodAutoscaler Ingress KafkaTopic KafkaUser NetworkPolicy Pod PodDisruptionBudget
PrometheusRule ScaledObject Secret Service ServiceAccount ServiceMonitor StatefulSet TriggerAuthentication""".split()
MANIFESTS = objects.ROOT / "deploy/kubernetes"


def look(made, room):
    return [*(error for one in made for error in schemas.errors(one)), *promises.errors(made), *product.errors(made, room)]


def good(values):
    """One file of values; its kinds and what is wrong."""
    done = objects.helm(values)
    if done.returncode != 0:
        return [], [done.stderr.strip()]
    try:
        made = objects.load(done.stdout)
    except (ValueError, yaml.YAMLError) as error:
        return [], [str(error)]
    found = look(made, ROOM / values.stem)
    if yaml.safe_load(values.read_text(encoding="utf-8")).get("tls", {}).get("enabled"):
        found.extend(promises.clear_text(made))
    # What Prometheus and Grafana get is what was tested as files.
    for one in made:
        if one["kind"] == "PrometheusRule" and one["spec"] != yaml.safe_load((objects.CHART / "files/rules.yml").read_text()):
            found.append("the PrometheusRule differs from rules.yml")
        if "understudy.json" in one.get("data", {}):
            if one["data"]["understudy.json"].strip() != (objects.CHART / "files/understudy.json").read_text().strip():
                found.append("the dashboard differs from understudy.json")
    return [one["kind"] for one in made], found


def must_say(values):
    first = values.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# must say: "), f"{values} says not what must be said"
    return first.removeprefix("# must say: ")


def wrong(values):
    """Values that helm refuses, in these words."""
    done, words = objects.helm(values), must_say(values)
    if done.returncode == 0:
        return [f"was taken; it should have said: {words}"]
    # The schema's validators of different versions of helm put keys differently: `a.b: …`, `at '/a/b': …`.
    said = done.stderr
    return [] if words in said else [f"should say: {words}\n    said: {said.strip()}"]


def refused(values):
    """Values that only the product refuses: then its pods would not start, and this test must see it."""
    done, words = objects.helm(values), must_say(values)
    if done.returncode != 0:
        return [f"helm refuses it: {done.stderr.strip()}"]
    said = "\n".join(product.errors(objects.load(done.stdout), ROOM / f"refused-{values.stem}"))
    return [] if words in said else [f"the product should say: {words}\n    said: {said}"]


def copies():
    for source, copy in COPIES.items():
        file = objects.ROOT / source
        if not file.exists():
            yield f"{source} is missing"
        elif file.read_bytes() != (objects.CHART / "files" / copy).read_bytes():
            yield f"{objects.CHART / 'files' / copy} differs from {source}: make chart-sync"


def manifests():
    """The plain manifests are what the chart makes, and right by themselves."""
    done = subprocess.run([HERE / "manifests", "-"], capture_output=True, text=True, check=False)
    file = MANIFESTS / "understudy.yaml"
    if done.returncode != 0:
        yield done.stderr
    elif not file.exists() or file.read_text(encoding="utf-8") != done.stdout:
        yield f"{file} is not what the chart makes: make chart-sync"
    for one in sorted(MANIFESTS.glob("*.yaml")):
        if one.name == "values.yaml":
            continue
        made = objects.load(one.read_text(encoding="utf-8"))
        own = look(made, ROOM / "manifests") if one == file else [error for each in made for error in schemas.errors(each)]
        yield from (f"{one.name}: {error}" for error in own)


def main():
    shutil.rmtree(ROOM, ignore_errors=True)
    failed, kinds = 0, collections.Counter()

    def tell(what, errors):
        nonlocal failed
        failed += bool(errors)
        print(f"{'FAIL' if errors else 'ok  '} {what}", flush=True)
        for error in errors:
            print(f"    {error}")

    product.certificate(str(ROOM / "certificate"))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        files = sorted(HERE.glob("values/*.yaml"))
        for values, (found, errors) in zip(files, pool.map(good, files), strict=True):
            kinds.update(found)
            tell(f"{values.stem}: {len(found)} objects", errors)
        for what, check in (("wrong", wrong), ("refused", refused)):
            files = sorted(HERE.glob(f"{what}/*.yaml"))
            for values, errors in zip(files, pool.map(check, files), strict=True):
                tell(f"{what}: {values.stem}", errors)
    tell("copies of rules and dashboard", list(copies()))
    tell("plain manifests", list(manifests()))
    tell("every kind of object was looked at", [f"no {kind} was made" for kind in KINDS if not kinds[kind]])
    old = objects.helm(HERE / "values/minimal.yaml", version="1.24")
    tell("Kubernetes 1.24 is refused", [] if "requires kubeVersion" in old.stderr else [old.stderr or "it was taken"])
    print(f"{sum(kinds.values())} objects of {len(kinds)} kinds, Kubernetes {', '.join(schemas.VERSIONS)}; {failed} failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
