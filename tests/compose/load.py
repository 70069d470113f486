"""Writers that go through the load balancer, and remember what was acknowledged to them."""

import http.client
import json
import threading
import time


def connect(at, timeout):
    """A connection to a port of this machine, or to address:port."""
    return http.client.HTTPConnection(at if isinstance(at, str) else f"127.0.0.1:{at}", timeout=timeout)


def call(at, method, path, body=None, timeout=30):
    """One request on a connection of its own: status, and the answer as JSON or text."""
    connection = connect(at, timeout)
    try:
        connection.request(method, path, body, {"content-type": "application/json"})
        response = connection.getresponse()
        text = response.read().decode()
    finally:
        connection.close()
    try:
        return response.status, json.loads(text)
    except ValueError:
        return response.status, text


class Load:
    """Some writers, each with a connection that it keeps and documents of its own."""

    def __init__(self, at, index, writers=4, pause=0.005):
        self.at, self.index, self.pause = at, index, pause
        self.acknowledged = {}
        self.failures = []
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(number,), daemon=True) for number in range(writers)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _write(self, writer):
        connection = connect(self.at, timeout=60)
        number = 0
        while not self._ended.is_set():
            number += 1
            document_id = f"{writer}-{number}"
            document = {"writer": writer, "number": number, "text": "x" * 100}
            path = f"/{self.index}/_doc/{document_id}"
            try:
                connection.request("PUT", path, json.dumps(document), {"content-type": "application/json"})
                response = connection.getresponse()
                answer = response.read().decode()
                if response.status in (200, 201):
                    self.acknowledged[document_id] = document
                else:
                    self.failures.append(f"{response.status} {answer[:300]}")
            except (OSError, http.client.HTTPException) as error:
                # No answer is no acknowledgement.
                self.failures.append(repr(error))
                connection.close()
            time.sleep(self.pause)
        connection.close()

    def wait_for(self, more, seconds=60):
        """Until so many more writes were acknowledged."""
        goal = len(self.acknowledged) + more
        deadline = time.monotonic() + seconds
        while len(self.acknowledged) < goal:
            if time.monotonic() > deadline:
                raise AssertionError(f"not {more} more writes in {seconds} s; failures: {self.failures[-3:]}")
            time.sleep(0.05)


def missing(at, index, documents):
    """Which of the documents a cluster does not have as they were written."""
    absent = []
    ids = list(documents)
    for start in range(0, len(ids), 1000):
        part = ids[start : start + 1000]
        status, answer = call(at, "POST", f"/{index}/_mget", json.dumps({"ids": part}))
        if status != 200:
            return ids
        for item in answer["docs"]:
            if item.get("_source") != documents[item["_id"]]:
                absent.append(item["_id"])
    return absent


def await_all(at, index, documents, seconds=60):
    """Until a cluster has all documents; fails with those that it lacks."""
    deadline = time.monotonic() + seconds
    while True:
        absent = missing(at, index, documents)
        if not absent:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"{len(absent)} of {len(documents)} documents of {index} are missing, as {absent[:5]}")
        time.sleep(0.2)
