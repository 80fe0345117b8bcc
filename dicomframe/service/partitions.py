"""The list of data partitions. Storing into one makes it; nothing renames or removes it."""

from __future__ import annotations

from http import HTTPStatus

import orjson

from dicomframe.service.call import Answer, Call
from dicomframe.service.changefeed import iso


async def listing(call: Call) -> Answer:
    """Answer all partitions, the oldest first; the default one is always among them.

    Where partitions are switched off, the dispatcher refuses every route that names them.
    """
    call.refuse_query()
    rows = call.service.index.reader.execute("SELECT key, name, created FROM partition ORDER BY key")
    body = [
        {"partitionKey": key, "partitionName": name, "createdDate": iso(created)}
        for key, name, created in rows
    ]
    return Answer(HTTPStatus.OK, orjson.dumps(body), {"Content-Type": "application/json"})
