"""That a balancer never sends a request again that a server may have seen: servers that read it, and break off.

They are fakes, for a gateway breaks off at this place only when it dies there."""

import collections

from hosts import Process, wait
from load import call

# Run on a host: says which request it got, and breaks off without an answer. The balancer's own question gets one.
SERVER = """
import socket, sys, threading
def serve(connection):
    got = b""
    while b"\\r\\n\\r\\n" not in got:
        more = connection.recv(65536)
        if not more: return
        got += more
    line = got.split(b"\\r\\n")[0].decode()
    if "/readyz" in line or "/well" in line:
        connection.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: 0\\r\\nconnection: close\\r\\n\\r\\n")
    else:
        print(line, flush=True)
    connection.close()
def listen(port):
    with socket.create_server(("0.0.0.0", port)) as server:
        while True:
            connection, _ = server.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()
threading.Thread(target=listen, args=(9310,), daemon=True).start()
listen(9200)
"""
REQUESTS = [("PUT", '{"a": 1}'), ("POST", '{"a": 1}'), ("DELETE", None), ("POST", "x" * 200_000), ("PUT", "x" * 200_000)]


def check(name, command):
    """Each request that is broken off was seen exactly once, by both servers together."""
    servers = [Process(f"once-{name}-{host}", host, ["python3", "-c", SERVER]) for host in ("gateway-1", "gateway-2")]
    with servers[0], servers[1], Process(f"{name}-once", "balancer", command):
        for server in servers:
            open(server.log, "w", encoding="utf8").close()
        wait(f"{name} passes requests on", lambda: call("192.0.2.20", "GET", "/well")[0] == 200)
        sent = []
        for round_of in range(4):
            for number, (method, body) in enumerate(REQUESTS):
                path = f"/once/_doc/{round_of}-{number}"
                # Until it was let in: servers that break off are taken out for a while.
                wait(f"{name} lets {method} in", lambda: call("192.0.2.20", "GET", "/well")[0] == 200)
                call("192.0.2.20", method, path, body)
                sent.append(f"{method} {path} HTTP/1.1")
        seen = collections.Counter()
        for server in servers:
            with open(server.log, encoding="utf8") as log:
                seen.update(line.strip() for line in log)
        again = {line: count for line, count in seen.items() if count > 1}
        assert not again, f"{name} sent again what a server had seen: {again}"
        assert len(seen) >= len(sent) // 2, f"{name} let only {len(seen)} of {len(sent)} through"
