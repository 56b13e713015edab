"""How a program ended is told in full to its owner, and without its own words to strangers."""

from __future__ import annotations

import pytest

from torpor.platform.ending import Ending


@pytest.mark.parametrize(
    ("last_words", "public"),
    [
        (
            "OperationalError: cannot reach postgres://app:hunter2@db",
            "exit code 1: OperationalError",
        ),
        ("sqlalchemy.exc.OperationalError: hunter2", "exit code 1: OperationalError"),
        ("KeyError: 'TOKEN'", "exit code 1: KeyError"),
        ("RuntimeError", "exit code 1: RuntimeError"),
        ("SystemExit: hunter2", "exit code 1: SystemExit"),
        ("hunter2: no Error", "exit code 1"),
        ("Error hunter2", "exit code 1"),
        ("password=hunter2 Error: x", "exit code 1"),
        ("no such file", "exit code 1"),
        ("", "exit code 1"),
    ],
)
def test_strangers_get_the_class_of_an_exception_at_most(last_words: str, public: str) -> None:
    assert Ending("exit code 1", last_words).public == public


def test_its_owner_gets_all_of_it() -> None:
    assert Ending("exit code 1", "KeyError: 'TOKEN'").in_full == "exit code 1: KeyError: 'TOKEN'"
    assert Ending("ended by SIGKILL").in_full == "ended by SIGKILL"
