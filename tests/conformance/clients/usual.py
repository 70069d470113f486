"""What applications do with either client: the same names in both."""

import sys
import traceback


def run(client, helpers, not_found, conflict, index):
    wrong = 0

    def expect(what, call, wanted=lambda _: True):
        nonlocal wrong
        try:
            got = call()
            if not wanted(got):
                raise AssertionError(f"answered {got!r:.300}")
            print("ok", what)
            return got
        except Exception as error:  # every call is judged by itself
            wrong += 1
            print(f"WRONG {what}: {type(error).__name__}: {error!s:.300}")
            traceback.print_exc()
            return None

    def raises(kind, call):
        try:
            call()
        except kind:
            return True
        return False

    expect("ping", client.ping, bool)
    expect("info", client.info, lambda got: "version" in got)
    mappings = {"mappings": {"properties": {"n": {"type": "long"}, "k": {"type": "keyword"}}}}
    expect("indices.create", lambda: client.indices.create(index=index, body=mappings), lambda got: got["acknowledged"])
    expect("indices.exists", lambda: client.indices.exists(index=index), bool)
    more = {"properties": {"t": {"type": "text"}}}
    expect("indices.put_mapping", lambda: client.indices.put_mapping(index=index, body=more))
    expect("indices.get_mapping", lambda: client.indices.get_mapping(index=index), lambda got: index in got)
    expect("index", lambda: client.index(index=index, id="1", body={"n": 1}), lambda got: got["result"] == "created")
    expect("index, auto id", lambda: client.index(index=index, body={"n": 2}), lambda got: len(got["_id"]) == 20)
    odd = "a/b c?ü#"
    expect("index, odd id", lambda: client.index(index=index, id=odd, body={"n": 3}, routing="r", refresh=True))
    expect("get, odd id", lambda: client.get(index=index, id=odd, routing="r"), lambda got: got["_source"] == {"n": 3})
    expect("create", lambda: client.create(index=index, id="2", body={"n": 2}), lambda got: got["result"] == "created")
    expect("create, conflict", lambda: raises(conflict, lambda: client.create(index=index, id="2", body={})), bool)
    expect("exists", lambda: client.exists(index=index, id="1"), bool)
    expect("exists, missing", lambda: client.exists(index=index, id="no"), lambda got: not got)
    expect("get", lambda: client.get(index=index, id="1"), lambda got: got["_source"] == {"n": 1})
    expect("get, missing", lambda: raises(not_found, lambda: client.get(index=index, id="no")), bool)
    expect("get_source", lambda: client.get_source(index=index, id="1"), lambda got: got == {"n": 1})
    seen = client.get(index=index, id="1")
    at = {"if_seq_no": seen["_seq_no"], "if_primary_term": seen["_primary_term"]}
    expect("index, if_seq_no", lambda: client.index(index=index, id="1", body={"n": 5}, **at))
    again = lambda: client.index(index=index, id="1", body={"n": 6}, **at)  # noqa: E731
    expect("index, stale if_seq_no", lambda: raises(conflict, again), bool)
    expect("update", lambda: client.update(index=index, id="1", body={"doc": {"k": "a"}}, retry_on_conflict=3))
    script = {"script": {"source": "ctx._source.n += params.by", "params": {"by": 2}}}
    scripted = lambda: client.update(index=index, id="1", body=script, _source=True)  # noqa: E731
    expect("update, script", scripted, lambda got: got["get"]["_source"] == {"n": 7, "k": "a"})
    upsert = {"doc": {"n": 1}, "doc_as_upsert": True}
    expect("update, upsert", lambda: client.update(index=index, id="up", body=upsert))
    missing = lambda: client.update(index=index, id="no", body={"doc": {}})  # noqa: E731
    expect("update, missing", lambda: raises(not_found, missing), bool)
    lines = [{"index": {"_id": "b1"}}, {"n": 1}, {"update": {"_id": "b1"}}, {"doc": {"n": 2}}, {"delete": {"_id": "b1"}}]
    expect("bulk", lambda: client.bulk(index=index, body=lines, refresh="wait_for"), lambda got: not got["errors"])
    expect("delete", lambda: client.delete(index=index, id="up"), lambda got: got["result"] == "deleted")
    expect("delete, missing", lambda: raises(not_found, lambda: client.delete(index=index, id="no")), bool)
    # In an index of its own: there the backup stores the client's version, and not the primary's place of the write.
    own = index + "-versions"
    versioned = lambda: client.index(index=own, id="v", body={}, version=7, version_type="external")  # noqa: E731
    expect("index, external version", versioned, lambda got: got["_version"] == 7)

    actions = lambda kind, count: (  # noqa: E731
        {"_index": index, "_id": f"{kind}-{n}", "_source": {"n": n, "k": kind}} for n in range(count)
    )
    expect("helpers.bulk", lambda: helpers.bulk(client, actions("bulk", 2000)), lambda got: got == (2000, []))
    parallel = lambda: [ok for ok, _ in helpers.parallel_bulk(client, actions("parallel", 2000), thread_count=4)]  # noqa: E731
    expect("helpers.parallel_bulk", parallel, lambda got: len(got) == 2000 and all(got))
    streaming = lambda: [ok for ok, _ in helpers.streaming_bulk(client, actions("streaming", 2000), chunk_size=200)]  # noqa: E731
    expect("helpers.streaming_bulk", streaming, lambda got: len(got) == 2000 and all(got))
    mixed = [
        {"_op_type": "update", "_index": index, "_id": "bulk-1", "doc": {"n": -1}},
        {"_op_type": "delete", "_index": index, "_id": "bulk-2"},
        {"_op_type": "create", "_index": index, "_id": "bulk-3", "n": 1},
        {"_op_type": "index", "_index": index, "n": 1},
    ]
    tolerant = lambda: helpers.bulk(client, mixed, raise_on_error=False, refresh=True)  # noqa: E731
    expect("helpers.bulk, mixed", tolerant, lambda got: got[0] == 3 and got[1][0]["create"]["status"] == 409)

    query = {"query": {"term": {"k": "streaming"}}}
    expect("count", lambda: client.count(index=index, body=query), lambda got: got["count"] == 2000)
    found = lambda: client.search(index=index, body={**query, "size": 3, "sort": ["n"]})  # noqa: E731
    expect("search", found, lambda got: [hit["_source"]["n"] for hit in got["hits"]["hits"]] == [0, 1, 2])
    scan = lambda: list(helpers.scan(client, index=index, query=query, size=300))  # noqa: E731
    expect("helpers.scan", scan, lambda got: len({hit["_id"] for hit in got}) == 2000)
    expect("mget", lambda: client.mget(index=index, body={"ids": ["1", "2"]}), lambda got: len(got["docs"]) == 2)
    expect("msearch", lambda: client.msearch(index=index, body=[{}, query]), lambda got: len(got["responses"]) == 1)
    first = expect("search, scroll", lambda: client.search(index=index, scroll="1m", size=10, body=query))
    if first:
        expect("scroll", lambda: client.scroll(scroll_id=first["_scroll_id"], scroll="1m"), lambda got: got["hits"]["hits"])
        expect("clear_scroll", lambda: client.clear_scroll(scroll_id=first["_scroll_id"]), lambda got: got["succeeded"])
    expect("indices.refresh", lambda: client.indices.refresh(index=index))
    expect("cat.count", lambda: client.cat.count(index=index, format="json"), bool)
    expect("cluster.health", lambda: client.cluster.health(), lambda got: "status" in got)
    expect("indices.stats", lambda: client.indices.stats(index=index), lambda got: index in got["indices"])
    sys.exit(1 if wrong else 0)
