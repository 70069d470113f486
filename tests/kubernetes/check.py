"""The Helm chart in a real cluster: the README's commands, and what the chart promises. Run by tests/kubernetes/run."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/compose"))

from load import Load, await_all, call  # noqa: E402

BEGUN = time.monotonic()
HELM = os.environ["HELM"]


def say(text):
    print(f"{time.monotonic() - BEGUN:6.1f} s  {text}", flush=True)


def run(command, check=True, seconds=900):
    """Runs a command of words, or a line of a shell, and fails with what it said."""
    shell = isinstance(command, str)
    done = subprocess.run(command, shell=shell, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds)
    if check and done.returncode != 0:
        line = command if shell else " ".join(command)
        raise AssertionError(f"{line}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def kubectl(*arguments, check=True):
    return run(["kubectl", *arguments], check)


def get(*arguments):
    return json.loads(kubectl("get", *arguments, "--output=json"))


def readme():
    """The commands of the README's section, without the one that builds an image and loads it into kind."""
    text = (ROOT / "README.md").read_text()
    section = text[text.index("\n## Kubernetes\n") :]
    block = re.search(r"\n\n((?:    .+\n)+)", section).group(1)
    lines = [line.strip() for line in block.splitlines()]
    assert lines[0].startswith("docker build ") and 3 < len(lines) <= 5, lines
    return lines[1:]


def address(service):
    spec = get("service", service)["spec"]
    port = next(one["port"] for one in spec["ports"] if one["port"] == 9200)
    return f"{spec['clusterIP']}:{port}"


def volumes():
    """What a provisioner would give to the claims of the servers."""
    for number in range(3):
        folder = ROOT / f"target/kubernetes/volumes/{number}"
        subprocess.run(["rm", "-rf", folder], check=True)
        folder.mkdir(parents=True)
        folder.chmod(0o777)
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"volume-{number}"},
            "spec": {"capacity": {"storage": "2Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": str(folder)}},
        }
        subprocess.run(["kubectl", "apply", "-f", "-"], input=json.dumps(volume), text=True, check=True, capture_output=True)


def describe():
    """For who must find out why."""
    print(kubectl("get", "pods", "--output=wide", check=False))
    for pod in get("pods")["items"]:
        name = pod["metadata"]["name"]
        ready = any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))
        if not ready:
            print(kubectl("describe", "pod", name, check=False)[-2500:])
            print(kubectl("logs", "--tail=20", name, check=False), flush=True)


def rolled_out(deployment, replicas):
    """Until so many pods of it are ready and no other is left."""
    kubectl("rollout", "status", f"deployment/{deployment}", "--timeout=180s")
    part = "gateway" if "gateway" in deployment else "consumer"
    deadline = time.monotonic() + 180
    while True:
        pods = get("pods", f"--selector=app.kubernetes.io/component={part}")["items"]
        states = [
            (one["metadata"]["name"], any(c["type"] == "Ready" and c["status"] == "True" for c in one["status"].get("conditions", [])))
            for one in pods
        ]
        if len(states) == replicas and all(ready for _, ready in states):
            return [name for name, _ in states]
        assert time.monotonic() < deadline, f"{deployment}: {states}, not {replicas}"
        time.sleep(0.5)


def no_failure(load, what):
    assert not load.failures, f"{what}: {len(load.failures)} requests failed, as {sorted(set(load.failures))[:3]}"
    return f"{what}: {len(load.acknowledged)} writes, none failed"


def typed(line):
    """A command as a person gives it, who gives it again when the answer is "not yet"."""
    deadline = time.monotonic() + 60
    while True:
        said = run(line).strip()
        later = ('"found":false', "index_not_found_exception", '"status":503')
        if not any(word in said for word in later) or time.monotonic() > deadline:
            return said
        time.sleep(1)


def main():
    gateway, consumer = "understudy-gateway", "understudy-consumer-backup"
    volumes()
    for line in readme():
        said = typed(re.sub(r"^helm ", f"{HELM} ", line))
        if line.startswith("kubectl exec backup-0"):
            assert json.loads(said).get("_source") == {"from": "HNL"}, said
        say(f"$ {line}")
    say("the README's commands lead to a replicated document")
    # Its values leave the tests out, for the manifests that are made of them.
    chart = [HELM, "upgrade", "understudy", "deploy/helm/understudy", "--reuse-values", "--wait", "--timeout", "5m"]
    run([*chart, "--set", "tests.enabled=true"])
    said = run([HELM, "test", "understudy"])
    assert said.count("Succeeded") == 2, said
    say("helm test: succeeded")
    front, primary, backup = (address(name) for name in (gateway, "primary", "backup"))
    written = {}

    with Load(front, "rolled") as load:
        load.wait_for(100)
        before = rolled_out(gateway, 2)
        kubectl("rollout", "restart", f"deployment/{gateway}")
        after = rolled_out(gateway, 2)
        assert not set(before) & set(after), (before, after)
        load.wait_for(200)
    say(no_failure(load, "all gateways restarted, one after another"))
    written["rolled"] = load.acknowledged

    with Load(front, "scaled") as load:
        for gateways, consumers in ((5, 4), (2, 2)):
            kubectl("scale", f"deployment/{gateway}", f"--replicas={gateways}")
            kubectl("scale", f"deployment/{consumer}", f"--replicas={consumers}")
            rolled_out(gateway, gateways)
            rolled_out(consumer, consumers)
            load.wait_for(200)
            say(f"{gateways} gateways, {consumers} consumers")
    say(no_failure(load, "scaled"))
    written["scaled"] = load.acknowledged

    with Load(front, "upgraded") as load:
        load.wait_for(100)
        before = rolled_out(gateway, 2)
        run([*chart, "--set", "config.gateway.drain_notice=2s"])
        after = rolled_out(gateway, 2)
        assert not set(before) & set(after), "another configuration starts other pods"
        run([HELM, "rollback", "understudy", "1", "--wait", "--timeout", "5m"])
        rolled_out(gateway, 2)
        load.wait_for(100)
    say(no_failure(load, "configuration changed by helm upgrade, and back by helm rollback"))
    written["upgraded"] = load.acknowledged

    with Load(front, "killed", writers=12, pause=0) as load:
        load.wait_for(300)
        for part in ("gateway", "consumer"):
            pods = get("pods", f"--selector=app.kubernetes.io/component={part}")["items"]
            kubectl("delete", "pod", pods[0]["metadata"]["name"], "--grace-period=0", "--force")
        load.wait_for(600)
    rolled_out(gateway, 2)
    written["killed"] = load.acknowledged
    say(f"a gateway and a consumer killed: {len(load.acknowledged)} writes acknowledged, {len(load.failures)} not")

    for index, documents in written.items():
        await_all(primary, index, documents)
        await_all(backup, index, documents, seconds=120)
    say("primary and backup have every acknowledged write")
    # Who died without leaving its group costs `protocol.linger` until offsets say so.
    deadline = time.monotonic() + 120
    status = ("exec", f"deploy/{gateway}", "--", "understudy", "status", "--config", "/etc/understudy/config/understudy.toml")
    while not (said := kubectl(*status, check=False)).startswith("READY"):
        assert time.monotonic() < deadline, said
        time.sleep(1)
    say(f"understudy status\n{said.strip()}")
    assert call(front, "GET", "/_cluster/health")[0] == 200
    run([HELM, "uninstall", "understudy", "--wait"])
    left = [one["metadata"]["name"] for one in get("all,configmap,secret,serviceaccount,networkpolicy,poddisruptionbudget",
            "--selector=app.kubernetes.io/instance=understudy")["items"] if "deletionTimestamp" not in one["metadata"]]
    assert not left, f"helm uninstall leaves {left}"
    say("passed")


try:
    main()
except (AssertionError, subprocess.SubprocessError) as failure:
    say(f"FAILED: {failure}")
    describe()
    sys.exit(1)
