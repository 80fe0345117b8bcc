"""What each type of operation does, by its name in the API."""

from __future__ import annotations

from typing import Final

from dicomframe.service import delete, export, querytags, update
from dicomframe.service.operations import Work

WORK: Final[dict[str, Work]] = {
    "delete": delete.work,
    "export": export.work,
    "update": update.work,
    querytags.DELETION: querytags.delete_work,
    querytags.REINDEXING: querytags.reindex_work,
}
