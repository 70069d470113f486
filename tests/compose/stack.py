"""docker-compose and docker, as the check needs them."""

import json
import os
import subprocess
import time

PROJECT = "understudy-test"
# Of the machines that these tests run on, half of the work is the JVMs' compilers.
ENVIRONMENT = {
    **os.environ,
    "COMPOSE_PROJECT_NAME": PROJECT,
    "ES_JAVA_OPTS": "-Xms512m -Xmx512m -XX:TieredStopAtLevel=1",
}
COMMAND = os.environ.get("COMPOSE", "docker-compose")


def run(command, check=True):
    """Runs a command, and fails with what it said."""
    done = subprocess.run(command, env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done


# Files beside docker-compose.yml.
FILES = []


def compose(*arguments, check=True):
    return run([*COMMAND.split(), *FILES, *arguments], check)


def docker(*arguments):
    return run(["docker", *arguments]).stdout


def up(*arguments):
    """Starts what does not run, of images that are there."""
    compose("up", "--detach", "--no-build", *arguments)


def containers(service=None):
    """What `docker inspect` says of the project's containers, by name."""
    label = ["--filter", f"label=com.docker.compose.project={PROJECT}"]
    if service:
        label += ["--filter", f"label=com.docker.compose.service={service}"]
    ids = docker("ps", "--all", "--quiet", *label).split()
    found = json.loads(docker("inspect", *ids)) if ids else []
    return {one["Name"].lstrip("/"): one for one in found}


def service_of(container):
    return container["Config"]["Labels"]["com.docker.compose.service"]


def health(container):
    state = container["State"]
    return state.get("Health", {}).get("Status", "none") if state["Running"] else state["Status"]


def await_healthy(expected, seconds=150):
    """Until so many containers of each service are healthy, and no others are there."""
    deadline = time.monotonic() + seconds
    while True:
        found = containers()
        states = {name: health(one) for name, one in found.items()}
        counts = {}
        for one in found.values():
            counts[service_of(one)] = counts.get(service_of(one), 0) + 1
        if counts == expected and set(states.values()) == {"healthy"}:
            return found
        if time.monotonic() > deadline:
            for name, state in states.items():
                if state != "healthy":
                    print(f"--- {name} is {state}; the end of its log:")
                    print(run(["docker", "logs", "--tail", "20", name]).stdout[-3000:], flush=True)
            raise AssertionError(f"not healthy after {seconds} s: {states}, expected {expected}")
        time.sleep(0.5)


def published(container, inside):
    """The port of this machine behind a container's port; it must be on loopback."""
    bindings = container["NetworkSettings"]["Ports"][f"{inside}/tcp"]
    assert [one["HostIp"] for one in bindings] == ["127.0.0.1"], f"{container['Name']} publishes {bindings}"
    return int(bindings[0]["HostPort"])
