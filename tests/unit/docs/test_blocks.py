"""What is read from a document, and what is refused in one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.blocks import BadMark, Block, Mark, Place, blocks, steps
from tests.docs.rules import of_block, of_text

DOCUMENT = Path("docs/x.md")


def read(text: str) -> list[Block]:
    return list(blocks(DOCUMENT, text))


def problems(text: str) -> list[str]:
    found = read(text)
    in_blocks = [problem for block in found for problem in of_block(block)]
    return in_blocks + list(of_text(DOCUMENT, text, found))


def test_a_block_knows_its_line_language_text_and_mark() -> None:
    text = "words\n\n<!-- run: cluster, eventually -->\n```sh\necho a\n\necho b\n```\n"
    [block] = read(text)
    assert (block.line, block.language, block.text) == (4, "sh", "echo a\n\necho b\n")
    assert block.mark == Mark(place=Place.CLUSTER, eventually=True)


def test_a_block_in_a_list_loses_the_lists_indent() -> None:
    [block] = read("1. words\n\n   ```sh\n   if a; then\n     b\n   fi\n   ```\n")
    assert block.text == "if a; then\n  b\nfi\n"


@pytest.mark.parametrize(
    ("comment", "mark"),
    [
        ("run: local", Mark(place=Place.LOCAL)),
        ("run: cluster, dry-run", Mark(place=Place.CLUSTER, dry_run=True)),
        ("run: local, background until it is up", Mark(place=Place.LOCAL, until="it is up")),
        ("not-run: CI runs it, always", Mark(reason="CI runs it, always")),
        ("file: a/b.yaml", Mark(file="a/b.yaml")),
    ],
)
def test_marks(comment: str, mark: Mark) -> None:
    assert read(f"<!-- {comment} -->\n```sh\nx\n```\n")[0].mark == mark


@pytest.mark.parametrize("comment", ["run: moon", "run: local, maybe", "ran: local"])
def test_an_unknown_mark_is_refused_with_its_place(comment: str) -> None:
    with pytest.raises(BadMark, match=r"docs/x\.md:1: "):
        read(f"<!-- {comment} -->\n```sh\nx\n```\n")


def test_steps_of_a_place_have_the_files_and_the_output_shown() -> None:
    text = (
        "<!-- file: a -->\n```yaml\nx: 1\n```\n"
        "<!-- run: local -->\n```sh\none\n```\nit says\n```text\nOne\n```\n"
        "<!-- run: cluster -->\n```sh\ntwo\n```\n```json\n{}\n```\n"
    )
    local = steps(read(text), Place.LOCAL)
    assert [(s.block.text, s.expected) for s in local] == [("x: 1\n", ""), ("one\n", "One\n")]
    cluster = steps(read(text), Place.CLUSTER)
    assert [(s.block.text, s.expected) for s in cluster] == [("x: 1\n", ""), ("two\n", "")]


def test_a_document_without_blocks_has_no_steps() -> None:
    assert steps([], Place.LOCAL) == []


def test_a_document_whose_commands_are_elsewhere_has_no_steps() -> None:
    text = "<!-- file: a -->\n```yaml\nx: 1\n```\n<!-- run: local -->\n```sh\none\n```\n"
    assert steps(read(text), Place.CLUSTER) == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("```sh\nls\n```\n", "without a mark"),
        ("words\n\n    kubectl get fn\n", "indented block"),
        ("<!-- run: local -->\n```\nls\n```\n", "only a shell block"),
        ("see [that](gone.md)", "no such file: gone.md"),
        ("run `make money`", "no such command: make money"),
        ("run `torpor fly hello`", "no such command: torpor fly"),
        ("```yaml\nspec: {}\n```\n", "not a whole Kubernetes object"),
        ("```yaml\n{\n```\n", "not YAML"),
    ],
)
def test_what_hides_or_misleads_is_refused(text: str, what: str) -> None:
    [problem] = problems(text)
    assert what in problem


FUNCTION = """```yaml
apiVersion: torpor.dev/v1alpha1
kind: Function
metadata: {{ name: hello }}
spec: {{ {spec} }}
```
"""


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ("image: a:1, replicas: 2", "spec.replicas: unknown"),
        ("image: a:1, port: 99999", "spec.port"),
        ("image: a:1, runtime: python3", "image"),
    ],
)
def test_a_function_that_the_cluster_would_refuse_is_refused(spec: str, what: str) -> None:
    assert any(what in problem for problem in problems(FUNCTION.format(spec=spec)))


def test_a_document_with_marks_and_true_names_is_accepted() -> None:
    run = "<!-- run: cluster -->\n```sh\nkubectl get fn\n```\n"
    words = "`make test`, `torpor dev x` and [decisions](adr)\n"
    assert problems(run + words + FUNCTION.format(spec="image: a:1")) == []
