"""The usual calls of elasticsearch-py 7.13. Arguments: address, index. Prints `ok CALL` or `WRONG CALL: why`."""

import sys

from elasticsearch import ConflictError, Elasticsearch, NotFoundError, helpers

import usual

client = Elasticsearch([sys.argv[1]])
usual.run(client, helpers, NotFoundError, ConflictError, sys.argv[2])
