"""Writers and a reader at one address, which remember what was acknowledged to them."""

import http.client
import json
import threading
import time

PORT = 9200


def call(host, method, path, body=None, port=PORT, timeout=5):
    """One request on a connection of its own: status and body; status 0 where there was no answer."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request(method, path, body, {"content-type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        return 0, repr(error).encode()
    finally:
        connection.close()


class Load:
    """Some writers and a reader, each with a connection that it keeps while it can."""

    def __init__(self, host, index, writers=4, mark="first"):
        self.host, self.index, self.mark = host, index, mark
        self.acknowledged, self.failed, self.read, self.not_read = {}, [], 0, []
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(self._write, one), daemon=True) for one in range(writers)]
        self._threads.append(threading.Thread(target=self._run, args=(self._read, writers), daemon=True))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _run(self, request, worker):
        connection, number = None, 0
        while not self._ended.is_set():
            number += 1
            connection = connection or http.client.HTTPConnection(self.host, PORT, timeout=20)
            failure = request(connection, worker, number)
            if failure:
                connection.close()
                connection = None
            time.sleep(0.01)

    def _write(self, connection, writer, number):
        document_id, document = f"{self.mark}-{writer}-{number}", {"writer": writer, "number": number}
        status, text = self._ask(connection, "PUT", f"/{self.index}/_doc/{document_id}", json.dumps(document))
        if status == 201:
            self.acknowledged[document_id] = document
            return None
        self.failed.append(f"{status} {text[:200]}")
        return text

    def _read(self, connection, _, __):
        status, text = self._ask(connection, "GET", f"/{self.index}/_count")
        if status == 200:
            self.read += 1
            return None
        self.not_read.append(f"{status} {text[:200]}")
        return text

    @staticmethod
    def _ask(connection, method, path, body=None):
        try:
            connection.request(method, path, body, {"content-type": "application/json"})
            response = connection.getresponse()
            text = response.read()
            if response.will_close:
                connection.close()
            return response.status, text
        except (OSError, http.client.HTTPException) as error:
            return 0, repr(error)

    def go_on(self, writes=100, reads=20, seconds=120):
        """Until so many more were acknowledged and read; returns how long the first of them took."""
        begun, before, read = time.monotonic(), len(self.acknowledged), self.read
        first = None
        while len(self.acknowledged) < before + writes or self.read < read + reads:
            if first is None and len(self.acknowledged) > before:
                first = time.monotonic() - begun
            assert time.monotonic() < begun + seconds, (
                f"within {seconds} s {len(self.acknowledged) - before} writes and {self.read - read} reads; "
                f"failures: {self.failed[-2:]} {self.not_read[-2:]}"
            )
            time.sleep(0.01)
        return first or 0.0


def lacking(port, index, documents):
    """Which of the documents a cluster does not have as they were written."""
    lacked, ids = [], list(documents)
    for start in range(0, len(ids), 1000):
        status, text = call("127.0.0.1", "POST", f"/{index}/_mget", json.dumps({"ids": ids[start : start + 1000]}), port)
        if status != 200:
            return ids
        lacked += [one["_id"] for one in json.loads(text)["docs"] if one.get("_source") != documents[one["_id"]]]
    return lacked
