"""Hosts (network namespaces), and what runs on them."""

import os
import signal
import subprocess
import time

ROOT = os.getcwd()
WORK = os.path.join(ROOT, "target/balancers")
RECIPES = os.path.join(ROOT, "deploy/balancers")
STACK = os.environ["STACK_RUN"]
BIN = os.environ["UNDERSTUDY_BIN"]
# Where the stack's servers listen, on loopback alone, as Kafka tells its clients: 9092 Kafka, 9201 primary, 9202 backup.
SERVERS = (9092, 9201, 9202)
# Told to the other processes of the stack, and no setting of a gateway.
NOT_FOR_GATEWAYS = ("UNDERSTUDY_BIN",)


def wait(what, condition, seconds=30):
    """Until the condition holds; returns what it said."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


class Process:
    """A process on a host (None: the outer one), with its output in a file."""

    def __init__(self, name, host, command, variables=None):
        self.name, self.log = name, os.path.join(WORK, f"{name}.log")
        inside = ["ip", "netns", "exec", host] if host else []
        environment = {key: value for key, value in os.environ.items() if key not in NOT_FOR_GATEWAYS}
        with open(self.log, "a", encoding="utf8") as log:
            self.process = subprocess.Popen(
                inside + command, env={**environment, **(variables or {})}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def end(self, how=signal.SIGTERM, seconds=60):
        self.process.send_signal(how)
        return self.process.wait(seconds)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def lead_to_servers(host):
    """Lets a host reach the servers on the loopback of the outer one, at the same addresses, by sockets in the file system."""
    sockets = os.path.join(WORK, "sockets")
    os.makedirs(sockets, exist_ok=True)
    common = "defaults\n mode tcp\n timeout connect 5s\n timeout client 1h\n timeout server 1h\n"
    outer, inner = common, common
    for port in SERVERS:
        outer += f"listen {port}\n bind unix@{sockets}/{host}-{port} mode 666\n server s 127.0.0.1:{port}\n"
        inner += f"listen {port}\n bind 127.0.0.1:{port}\n server s unix@{sockets}/{host}-{port}\n"
    processes = []
    for name, where, text in ((f"outer-{host}", None, outer), (f"inner-{host}", host, inner)):
        path = os.path.join(WORK, f"{name}.cfg")
        with open(path, "w", encoding="utf8") as file:
            file.write(text)
        processes.append(Process(name, where, ["haproxy", "-f", path, "-db"]))
    return processes


def gateway(host):
    """A gateway on a host, with the ports that the recipes name."""
    return Process(
        host,
        host,
        [f"{BIN}/understudy-gateway", "--config", f"{STACK}/understudy.toml"],
        {
            "UNDERSTUDY_GATEWAY__NAME": host,
            "UNDERSTUDY_GATEWAY__LISTEN": "0.0.0.0:9200",
            "UNDERSTUDY_GATEWAY__ADMIN_LISTEN": "0.0.0.0:9310",
            # What keepalived.conf asks for.
            "UNDERSTUDY_GATEWAY__DRAIN_NOTICE": "3s",
        },
    )
