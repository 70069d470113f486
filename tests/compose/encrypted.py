"""deploy/docker/compose.tls.yml, run for real: HTTPS and passwords everywhere. Run by tests/compose/run."""

import base64
import json
import pathlib
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request

import stack
from stack import await_healthy, compose, containers, docker, published, up

LB, PRIMARY, BACKUP = 9200, 9201, 9202
SERVICES = {"kafka": 1, "primary": 1, "backup": 1, "gateway": 2, "consumer": 2, "lb": 1, "prometheus": 1, "grafana": 1}
SECRETS = pathlib.Path("deploy/docker/tls")
BEGUN = time.monotonic()


def say(text):
    print(f"{time.monotonic() - BEGUN:6.1f} s  {text}", flush=True)


def call(port, method, path, body=None, password=None):
    """One request, by HTTPS, as the user `operator`: status and the answer as JSON."""
    password = password or (SECRETS / "operator.password").read_text()
    request = urllib.request.Request(f"https://localhost:{port}{path}", method=method, data=body and body.encode())
    request.add_header("content-type", "application/json")
    request.add_header("authorization", "Basic " + base64.b64encode(f"operator:{password}".encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=30, context=ssl.create_default_context(cafile=SECRETS / "ca.pem")) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def plain(port):
    """What a port answers to plain HTTP."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        try:
            return connection.recv(4096)
        except ConnectionError:
            return b""


def documents():
    """What is written through the load balancer is on the backup."""
    for number in range(20):
        status, answer = call(LB, "PUT", f"/flights/_doc/{number}", json.dumps({"number": number}))
        assert status in (200, 201), answer
    deadline = time.monotonic() + 60
    while True:
        found = [call(BACKUP, "GET", f"/flights/_doc/{number}")[1].get("_source") for number in range(20)]
        if found == [{"number": number} for number in range(20)]:
            return
        assert time.monotonic() < deadline, f"the backup has {found}"
        time.sleep(0.2)


def refusals():
    """Plain HTTP, strangers' certificates and wrong passwords get nothing."""
    gateways = [published(one, 9200) for one in containers("gateway").values()]
    for port in (LB, PRIMARY, BACKUP, *gateways):
        answer = plain(port)
        assert not answer.startswith(b"HTTP/") or b" 400 " in answer.splitlines()[0], f"{port} answers plain HTTP: {answer}"
        try:
            urllib.request.urlopen(f"https://localhost:{port}/", timeout=10)
            raise AssertionError(f"{port} shows a certificate that everybody trusts")
        except urllib.error.URLError as error:
            assert "CERTIFICATE_VERIFY_FAILED" in str(error), error
        assert call(port, "GET", "/flights/_doc/1", password="wrong")[0] == 401
    # Without a password Kafka closes; the probe within a container speaks no TLS.
    said = stack.run(["docker", "run", "--rm", "--network", f"{stack.PROJECT}_default", "--entrypoint", "bash",
                      next(iter(containers("gateway").values()))["Config"]["Image"], "-c",
                      "exec 3<>/dev/tcp/kafka/19092; printf '\\0\\0\\0\\12\\0\\22\\0\\0\\0\\0\\0\\1\\0\\0' >&3; timeout 5 head -c 4 <&3 | wc -c"])
    assert said.stdout.strip() == "0", f"Kafka answers without TLS: {said}"


def secrets():
    """No password is among the arguments, in the logs, or at the admin ports."""
    passwords = [file.read_text() for file in SECRETS.glob("*.password")]
    assert len(passwords) == 4
    for name, one in containers().items():
        places = {
            "arguments": docker("top", name, "-eo", "pid,args"),
            "logs": "".join(stack.run(["docker", "logs", name]).__dict__[key] for key in ("stdout", "stderr")),
            "command": json.dumps([one["Path"], one["Args"], one["Config"].get("Healthcheck")]),
        }
        for place, text in places.items():
            assert not any(password in text for password in passwords), f"a password in the {place} of {name}"


def main():
    stack.FILES[:] = ["--file", "docker-compose.yml", "--file", "deploy/docker/compose.tls.yml"]
    compose("down", "--volumes", "--remove-orphans")
    try:
        up()
        await_healthy(SERVICES)
        say("up with TLS: " + ", ".join(f"{service} {count}" for service, count in SERVICES.items()))
        documents()
        say("documents written by HTTPS through the load balancer are on the backup")
        refusals()
        say("plain HTTP, foreign certificates and wrong passwords get nothing")
        secrets()
        say("no password among arguments and in logs")
        said = compose("run", "--rm", "understudy").stdout.strip()
        say(f"docker-compose run understudy\n{said}")
    except AssertionError as failure:
        say(f"FAILED: {failure}")
        sys.exit(1)
    finally:
        compose("down", "--volumes", "--remove-orphans", check=False)
    say("passed")


main()
