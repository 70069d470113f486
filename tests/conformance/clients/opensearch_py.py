"""The usual calls of opensearch-py. Arguments: address, index. Prints `ok CALL` or `WRONG CALL: why`."""

import sys

from opensearchpy import ConflictError, NotFoundError, OpenSearch, helpers

import usual

client = OpenSearch([sys.argv[1]])
usual.run(client, helpers, NotFoundError, ConflictError, sys.argv[2])
