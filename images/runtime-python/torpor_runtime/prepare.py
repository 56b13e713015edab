"""What has to be there before the user's code is imported; most functions need nothing of it."""

from __future__ import annotations

import os
import sys

from torpor_runtime.load import code_directory

FILE_PREFIX = "TORPOR_FILE_"
"""Behind it the name of a file of the code, in a variable whose value is what is in it."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping


def prepare(environment: MutableMapping[str, str]) -> None:
    """Put the code's files where they are looked for, and set what Lambda sets.

    ArchiveError if there is no archive or not the one that is meant.
    """
    _write_files(environment)
    url = environment.get("TORPOR_ARCHIVE_URL")
    if url:
        from torpor_runtime.archive import fetch

        folder = code_directory(environment)
        fetch(url, environment.get("TORPOR_ARCHIVE_SHA256", ""), folder)
        os.chdir(folder)  # where files of the code are looked for by their relative names
    if environment.get("TORPOR_PAYLOAD") == "lambda":
        from torpor_runtime.lambda_environment import set_environment

        set_environment(environment, code_directory(environment))


def _write_files(environment: MutableMapping[str, str]) -> None:
    """Make files of the variables that are the code, each under its name, and forget them."""
    given = [name for name in environment if name.startswith(FILE_PREFIX)]
    if given:
        sys.dont_write_bytecode = True  # it would be gone with the container
    for name in given:
        file = os.path.join(code_directory(environment), name.removeprefix(FILE_PREFIX))
        with open(file, "w", encoding="utf-8", errors="surrogateescape", newline="") as to:
            to.write(environment.pop(name))
