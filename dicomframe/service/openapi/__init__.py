"""GET of ``api.yaml``: the service described by itself (OpenAPI 3.1), from its route table and its settings."""

from __future__ import annotations

from dicomframe.service.call import Answer, Call
from dicomframe.service.openapi.document import document
from dicomframe.service.openapi.parts import Variant
from dicomframe.service.openapi.yaml import to_yaml


async def describe(call: Call) -> Answer:
    """Send the description of the version that the path names, as this service is set."""
    # The route table names this handler.
    from dicomframe.service.app import ROUTES, WITHOUT_PARTITION

    service = call.service
    variant = Variant(call.version, service.strict, service.partitions, service.admission.demands_token)
    text = to_yaml(document(ROUTES, WITHOUT_PARTITION, variant, call.root))
    return Answer(body=text.encode(), headers={"Content-Type": "application/yaml"})
