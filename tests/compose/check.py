"""docker-compose.yml, run for real: what it promises, one step after the other. Run by tests/compose/run."""

import json
import re
import sys
import time

import stack
from load import Load, await_all, call
from stack import await_healthy, compose, containers, docker, published, service_of, up

LB, PRIMARY, BACKUP, PROMETHEUS, GRAFANA = 9200, 9201, 9202, 9090, 3000
SERVICES = {"kafka": 1, "primary": 1, "backup": 1, "gateway": 2, "consumer": 2, "lb": 1, "prometheus": 1, "grafana": 1}
BEGUN = time.monotonic()


def say(text):
    print(f"{time.monotonic() - BEGUN:6.1f} s  {text}", flush=True)


def check_hardening(found):
    """Every container is not root, cannot write its root, and has its limits and loopback ports."""
    for name, one in found.items():
        host, config = one["HostConfig"], one["Config"]
        assert host["ReadonlyRootfs"], f"{name} can write its root file system"
        assert config["User"].split(":")[0] not in ("", "0", "root"), f"{name} runs as '{config['User']}'"
        assert host["CapDrop"] == ["ALL"] and "no-new-privileges:true" in host["SecurityOpt"], f"{name} keeps rights"
        assert host["Memory"] > 0 and host["NanoCpus"] > 0 and host["PidsLimit"] > 0, f"{name} has no limits"
        for inside in one["NetworkSettings"]["Ports"]:
            published_or_inside = one["NetworkSettings"]["Ports"][inside]
            if published_or_inside:
                published(one, inside.split("/")[0])
        for mount in one["Mounts"]:
            assert mount["Type"] != "volume" or mount["Name"].startswith(stack.PROJECT), f"{name} has a nameless volume"
    inside = next(name for name, one in found.items() if service_of(one) == "gateway")
    refused = stack.run(["docker", "exec", inside, "touch", "/etc/understudy/new"], check=False)
    assert refused.returncode != 0 and "Read-only file system" in refused.stderr, refused
    assert docker("exec", inside, "id", "-u").strip() == "10001"


def check_image():
    """Our layers, those above the base image, are at most 70 MB together."""
    image = next(iter(containers("gateway").values()))["Config"]["Image"]
    base, ours = (json.loads(docker("image", "inspect", name))[0] for name in ("debian:bookworm-slim", image))
    assert ours["RootFS"]["Layers"][: len(base["RootFS"]["Layers"])] == base["RootFS"]["Layers"], "another base"
    megabytes = (ours["Size"] - base["Size"]) / 1e6
    assert 1 < megabytes <= 70, f"our layers are {megabytes:.1f} MB"
    return megabytes


def gateway_requests():
    """How many requests each gateway has answered."""
    counts = {}
    for name, one in containers("gateway").items():
        if one["State"]["Running"]:
            _, text = call(published(one, 9310), "GET", "/metrics")
            values = re.findall(r"^understudy_requests_total\{[^}]*\} ([0-9.e+]+)$", text, re.M)
            counts[name] = sum(float(value) for value in values)
    return counts


def await_prometheus(gateways, consumers, seconds=60):
    """Until Prometheus has found all of them by Docker's DNS, and reaches them."""
    query = '/api/v1/query?query=count%20by%20(job)%20(up%20%3D%3D%201)'
    deadline = time.monotonic() + seconds
    while True:
        _, answer = call(PROMETHEUS, "GET", query)
        found = {one["metric"]["job"]: int(one["value"][1]) for one in answer["data"]["result"]}
        if found == {"understudy-gateway": gateways, "understudy-consumer": consumers}:
            return
        assert time.monotonic() < deadline, f"Prometheus sees {found}"
        time.sleep(0.5)


def first_documents():
    """A document alone and a bulk, written through the load balancer, are on the backup."""
    documents = {str(number): {"from": "HNL", "number": number} for number in range(500)}
    lines = [json.dumps(line) for key, value in documents.items() for line in ({"index": {"_id": key}}, value)]
    status, answer = call(LB, "POST", "/flights/_bulk", "\n".join(lines) + "\n")
    assert status == 200 and not answer["errors"], answer
    documents["single"] = {"from": "HNL", "to": "LAX"}
    status, answer = call(LB, "PUT", "/flights/_doc/single", json.dumps(documents["single"]))
    assert status in (200, 201), answer
    await_all(BACKUP, "flights", documents)
    return documents


def kill_under_load():
    """A gateway dies in the middle of writes: what was acknowledged is on the backup."""
    victim = sorted(containers("gateway"))[0]
    with Load(LB, "killed", writers=12, pause=0) as load:
        load.wait_for(300)
        docker("kill", victim)
        load.wait_for(600)
    await_all(PRIMARY, "killed", load.acknowledged)
    await_all(BACKUP, "killed", load.acknowledged)
    say(f"{victim} killed under load: {len(load.acknowledged)} acknowledged writes, {len(load.failures)} not; none lost")
    up()
    await_healthy(SERVICES)
    return load.acknowledged


def scale_under_load():
    """Gateways 2, 3, 1, 2 under load: no request fails, and each new one gets its share."""
    with Load(LB, "scaled") as load:
        load.wait_for(100)
        for count in (3, 1, 2):
            up("--no-recreate", "--scale", f"gateway={count}")
            await_healthy({**SERVICES, "gateway": count})
            if count == 3:
                await_prometheus(count, SERVICES["consumer"])
            before = gateway_requests()
            load.wait_for(200)
            after = gateway_requests()
            assert len(after) == count and all(after[name] > before[name] for name in after), (before, after)
            say(f"{count} gateways, and each of them has writes to do")
    assert not load.failures, f"{len(load.failures)} requests failed, as: {sorted(set(load.failures))[:3]}"
    await_all(BACKUP, "scaled", load.acknowledged)
    say(f"scaled under load: {len(load.acknowledged)} writes, none failed, none lost")
    return load.acknowledged


def main():
    compose("down", "--volumes", "--remove-orphans")
    try:
        up()
        found = await_healthy(SERVICES)
        say("up: " + ", ".join(f"{service} {count}" for service, count in SERVICES.items()))
        check_hardening(found)
        say(f"no root, nothing writable but volumes and tmpfs, limits, loopback; our layers: {check_image():.1f} MB")
        written = {"flights": first_documents()}
        say("documents written through the load balancer are on the backup")
        await_prometheus(2, 2)
        assert call(PROMETHEUS, "GET", "/api/v1/rules")[1]["status"] == "success"
        assert call(GRAFANA, "GET", "/api/health")[0] == 200
        say("Prometheus has found gateways and consumers")
        written["killed"] = kill_under_load()
        written["scaled"] = scale_under_load()
        compose("down")
        assert not containers()
        say("down")
        up()
        await_healthy(SERVICES)
        for index, documents in written.items():
            await_all(PRIMARY, index, documents, seconds=0)
            await_all(BACKUP, index, documents, seconds=0)
        written["flights"].update(first_documents())
        say("up again: primary and backup have everything, and go on")
        for command in (["verify", "--config", "/etc/understudy/understudy.toml"], []):
            said = compose("run", "--rm", "understudy", *command).stdout.strip()
            say(f"docker-compose run understudy {' '.join(command)}\n{said}")
    except AssertionError as failure:
        say(f"FAILED: {failure}")
        sys.exit(1)
    finally:
        compose("down", "--volumes", "--remove-orphans", check=False)
    say("passed")


main()
