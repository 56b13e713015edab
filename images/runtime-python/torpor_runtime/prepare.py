"""What has to be there before the user's code is imported; most functions need nothing of it."""

from __future__ import annotations

import os

from torpor_runtime.load import code_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping


def prepare(environment: MutableMapping[str, str]) -> None:
    """Fetch the code's archive and go there, and set what Lambda sets, as the function asks.

    ArchiveError if there is no archive or not the one that is meant.
    """
    url = environment.get("TORPOR_ARCHIVE_URL")
    if url:
        from torpor_runtime.archive import fetch

        folder = code_directory(environment)
        fetch(url, environment.get("TORPOR_ARCHIVE_SHA256", ""), folder)
        os.chdir(folder)  # where files of the code are looked for by their relative names
    if environment.get("TORPOR_PAYLOAD") == "lambda":
        from torpor_runtime.lambda_environment import set_environment

        set_environment(environment, code_directory(environment))
