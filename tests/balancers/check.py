"""What deploy/balancers promises, one recipe after the other. Run by tests/balancers/run, inside its namespaces."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import once
from hosts import RECIPES, WORK, Process, gateway, lead_to_servers, wait
from load import Load, call, lacking

FLOATING, BALANCER = "192.0.2.10", "192.0.2.20"
ADDRESSES = {"gateway-1": "192.0.2.11", "gateway-2": "192.0.2.12"}
PRIMARY, BACKUP = 9201, 9202
BEGUN = time.monotonic()


def say(text):
    print(f"{time.monotonic() - BEGUN:6.1f} s  {text}", flush=True)


def is_ready(host):
    return call(ADDRESSES[host], "GET", "/readyz", port=9310)[0] == 200


def start(gateways, host):
    """It says that it is ready after 5 s also when it has not reached Kafka yet: then it refuses writes."""
    gateways[host] = gateway(host)
    wait(f"{host} is ready", lambda: is_ready(host))
    path = f"/started/_doc/{time.monotonic_ns()}"
    wait(f"{host} takes writes", lambda: call(ADDRESSES[host], "PUT", path, "{}")[0] in (200, 201))


def requests_of(host):
    """How many requests a gateway has answered."""
    text = call(ADDRESSES[host], "GET", "/metrics", port=9310)[1].decode()
    lines = [line for line in text.splitlines() if line.startswith("understudy_requests_total{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def works_for_both(load):
    """Writes and reads go on, and each gateway has its share of them."""
    before = {host: requests_of(host) for host in ADDRESSES}
    load.go_on()
    wait("both gateways have requests", lambda: all(requests_of(host) > before[host] for host in ADDRESSES))


def nothing_lost(load, name):
    with open(f"{WORK}/failures.log", "a", encoding="utf8") as file:
        file.writelines(f"{name} {line}\n" for line in load.failed + load.not_read)
    for cluster, port in (("primary", PRIMARY), ("backup", BACKUP)):
        wait(f"{cluster} has what was acknowledged", lambda port=port: not lacking(port, load.index, load.acknowledged), 60)
    say(
        f"{name}: {len(load.acknowledged)} acknowledged writes, {load.read} reads; {len(load.failed)} and {len(load.not_read)} "
        "without an answer; nothing lost"
    )


def balancer(name, command, gateways):
    """One gateway is killed, started again, and stopped orderly, under load through a balancer."""
    with Process(name, "balancer", command):
        wait(f"{name} passes requests on", lambda: call(BALANCER, "PUT", f"/{name}/_doc/first", "{}")[0] in (200, 201))
        with Load(BALANCER, name) as load:
            works_for_both(load)
            gateways["gateway-1"].end(signal.SIGKILL)
            pause = load.go_on()
            say(f"{name}: gateway-1 killed under load; the next write was acknowledged after {pause:.2f} s")
            start(gateways, "gateway-1")
            # Who has a connection keeps it: nginx gives the new gateway the new ones.
            with Load(BALANCER, name, writers=4, mark="later") as later:
                works_for_both(later)
            failed = len(load.failed) + len(load.not_read)
            assert gateways["gateway-2"].end() == 0, "gateway-2 did not end orderly"
            load.go_on()
            start(gateways, "gateway-2")
            load.go_on()
            failed = len(load.failed) + len(load.not_read) - failed
            say(f"{name}: gateway-2 stopped orderly and started under load: {failed} requests failed")
            assert failed == 0, (load.failed[-3:], load.not_read[-3:])
        nothing_lost(load, name)


def holder():
    """Who has the floating address; nobody, or both, is nobody."""
    holders = []
    for host in ADDRESSES:
        text = subprocess.run(["ip", "-netns", host, "-json", "address"], capture_output=True, check=True).stdout
        if any(one["local"] == FLOATING for link in json.loads(text) for one in link["addr_info"]):
            holders.append(host)
    return holders[0] if len(holders) == 1 else None


def other(host):
    return next(one for one in ADDRESSES if one != host)


def keepalived(host):
    """Debian keeps it where only root's PATH looks; each has pid files of its own."""
    files = [f"--pid={WORK}/{host}.pid", f"--vrrp_pid={WORK}/{host}.vrrp"]
    program = shutil.which("keepalived")
    recipe = ["--use-file", f"{RECIPES}/keepalived.conf", "--config-id", host]
    return Process(f"keepalived-{host}", host, [program, "--dont-fork", "--log-console", "--vrrp", *files, *recipe])


def floating(gateways):
    """The address moves when the gateway behind it dies, stays when that one comes back, and moves back when the other goes."""
    with keepalived("gateway-1"), keepalived("gateway-2"):
        first = wait("one host has the address", holder)
        wait("the address answers", lambda: call(FLOATING, "PUT", "/floating/_doc/first", "{}")[0] in (200, 201))
        with Load(FLOATING, "floating") as load:
            load.go_on()
            gateways[first].end(signal.SIGKILL)
            second = other(first)
            begun = time.monotonic()
            wait(f"{second} has the address", lambda: holder() == second, 10)
            moved = time.monotonic() - begun
            pause = load.go_on()
            say(f"keepalived: {first} killed; {second} has the address after {moved:.1f} s, takes writes {pause:.1f} s later")
            start(gateways, first)
            until = time.monotonic() + 6
            while time.monotonic() < until:
                assert holder() == second, f"the address left {second}, which is well"
                time.sleep(0.1)
            assert gateways[second].end() == 0, f"{second} did not end orderly"
            wait(f"{first} has the address again", lambda: holder() == first, 10)
            load.go_on()
            start(gateways, second)
            say(f"keepalived: {first} came back and left the address where it was; {second} stopped orderly, {first} has it")
        nothing_lost(load, "keepalived")


def main():
    commands = {
        "haproxy": ["haproxy", "-f", f"{RECIPES}/haproxy.cfg", "-db"],
        "nginx": ["nginx", "-c", f"{RECIPES}/nginx.conf", "-g", "daemon off;"],
    }
    chosen = sys.argv[1:] or [*commands, "keepalived"]
    commands = {name: command for name, command in commands.items() if name in chosen}
    for name, command in commands.items():
        once.check(name, command)
        say(f"{name}: what servers break off in the middle is sent to none of them again")
    for host in ADDRESSES:
        lead_to_servers(host)
    gateways = {}
    try:
        for host in ADDRESSES:
            start(gateways, host)
        say("two gateways on two hosts")
        for name, command in commands.items():
            balancer(name, command, gateways)
        if "keepalived" in chosen:
            floating(gateways)
    finally:
        for one in gateways.values():
            one.process.kill()
    say("deploy/balancers is as it says")


if __name__ == "__main__":
    os.makedirs(WORK, exist_ok=True)
    try:
        main()
    except AssertionError as error:
        print(f"balancers-test: {error} (logs: {WORK})", file=sys.stderr)
        sys.exit(1)
