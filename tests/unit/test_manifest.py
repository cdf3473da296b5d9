"""Manifests: read and written without loss, and every mistake named by field and fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from mapreduce import manifest
from mapreduce.errors import InvalidJobSpec
from mapreduce.model import Code, Input, JobSpec, Output, Workers

GOOD = """\
apiVersion: mapreduce.dev/v1alpha1
kind: MapReduceJob
metadata: {name: wordcount}
spec:
  code:
    inline: |
      def mapper(line):
          yield from line.split()
  inputs:
    - uri: books/
  output: {uri: out/}
  reducer: count
  reducers: 4
"""


def _refusal(text: str) -> str:
    with pytest.raises(InvalidJobSpec) as caught:
        manifest.from_yaml(text)
    return str(caught.value)


def test_a_manifest_is_read_into_the_model() -> None:
    read = manifest.from_yaml(GOOD)
    assert read.metadata.name == "wordcount"
    assert read.spec.inputs == (Input(uri="books/"),)
    assert read.spec.reducer == "count"
    assert read.spec.reducers == 4
    assert read.spec.code.inline == "def mapper(line):\n    yield from line.split()\n"


def test_what_is_written_reads_back_the_same_with_code_as_a_block() -> None:
    spec = JobSpec(
        code=Code(inline="def mapper(line):\n    yield 'é', \"x: y\"\n\n# end\n"),
        inputs=(Input(uri="a", format="csv"), Input(uri="no")),
        output=Output(uri="out", format="jsonl"),
        args={"n": "5", "yes": "no", "empty": ""},
        workers=Workers(replicas=7),
    )
    made = manifest.make("My Job!", spec)
    text = manifest.to_yaml(made)
    assert manifest.from_yaml(text) == made
    assert "inline: |\n" in text
    assert "name: my-job\n" in text
    assert "leaseSeconds" not in text


def test_code_that_yaml_cannot_show_as_a_block_still_reads_back_the_same() -> None:
    for code in ("x = 1 \n\ty = '\\x00'\n", "a\r\nb\n", "\n\n  leading", "tab\there\n", "\u2028\n\x85", "\x85"):
        spec = JobSpec(code=Code(inline=code), inputs=(Input(uri="a"),), output=Output(uri="o"))
        assert manifest.from_yaml(manifest.to_yaml(manifest.make("x", spec))).spec.code.inline == code


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        ("  reducers: 4", "  reducer_count: 4", "spec.reducer_count: there is no such field. Did you mean reducer?"),
        ("  reducers: 4", "  split_size_bytes: 4", "Did you mean splitSizeBytes?"),
        ("    - uri: books/", "    - url: books/", "spec.inputs[0].url: there is no such field. Did you mean uri?"),
        ("  reducers: 4", "  zzz: 4", "spec.zzz: there is no such field. Fields here: code, inputs, output"),
        (
            "  reducers: 4",
            "  reducers: '4'",
            "spec.reducers: expected a whole number, got the text '4'. Leave out the quotes",
        ),
        ("  reducers: 4", "  reducers: many", "spec.reducers: expected a whole number, got the text 'many'."),
        ("  reducers: 4", "  reducers: 4.5", "spec.reducers: expected a whole number, got the number 4.5."),
        ("  reducers: 4", "  reducers: -1", "spec.reducers: must be at least 0, got the number -1."),
        ("  reducers: 4", "  reducers: 100001", "spec.reducers: must be at most 100 000"),
        ("  reducers: 4", "  reducers: yes", "spec.reducers: expected a whole number, got true."),
        ("  reducers: 4", "  args: {n: 5}", 'spec.args.n: expected text, got the number 5. Write it in quotes: "5".'),
        (
            "  reducers: 4",
            "  args: {a: b, f: no}",
            'spec.args.f: expected text, got false. Write it in quotes: "false".',
        ),
        (
            "  reducers: 4",
            "  args: {a: b, 5: c}",
            'spec.args.5: expected text, got the number 5. Write it in quotes: "5".',
        ),
        (
            "    - uri: books/",
            "    uri: books/",
            "spec.inputs: expected a list, got a mapping. Begin each entry with a dash",
        ),
        ("    - uri: books/", "    []", "spec.inputs: must not be empty, got an empty list."),
        ("    - uri: books/", "    - {uri: ''}", "spec.inputs[0].uri: must not be empty, got the text ''."),
        (
            "    - uri: books/",
            "    - {uri: a, format: line}",
            "spec.inputs[0].format: 'line' is none of lines, files, jsonl, csv. Did you mean lines?",
        ),
        ("  output: {uri: out/}", "", "spec.output: is missing. Add `output:`."),
        ("  output: {uri: out/}", "  output: out/", "spec.output: expected a mapping of fields, got the text 'out/'."),
        ("metadata: {name: wordcount}", "metadata: {}", "metadata.name: is missing."),
        ("  reducers: 4", "  output: {uri: twice}", "output is given twice"),
        ("  reducers: 4", "  reducers: &n 4\n  maxAttempts: *n", "anchors and aliases"),
        ("  reducers: 4", "  reducers: !!python/object/apply:os.system [x]", "could not determine a constructor"),
        ("  reducers: 4", "  reducers: [4", "line 14"),
        ("v1alpha1", "v2", "apiVersion: expected mapreduce.dev/v1alpha1, got the text 'mapreduce.dev/v2'"),
        ("kind: MapReduceJob", "kind: Job", "kind: expected MapReduceJob, got the text 'Job'"),
        (
            "    inline: |",
            "    module: x\n    inline: |",
            "spec.code: has inline and module, but must have exactly one",
        ),
        ("  reducers: 4", "  storage: {shuffle: peer}", "Did you mean Peer?"),
    ],
)
def test_a_mistake_is_named_by_field_and_fix(wrong: str, right: str, said: str) -> None:
    assert wrong in GOOD
    assert said in _refusal(GOOD.replace(wrong, right))


def test_all_unknown_fields_are_reported_at_once() -> None:
    text = _refusal(GOOD.replace("reducers: 4", "reduceer: 4\n  mappr: x").replace("uri: out/", "uri: out/, fmt: text"))
    assert "has unknown fields" in text
    for field in ("spec.reduceer: there is no such field. Did you mean reducer?", "spec.mappr", "spec.output.fmt"):
        assert field in text


def test_no_code_at_all_is_refused() -> None:
    head, _, rest = GOOD.partition("  code:\n")
    assert "spec.code: has none of inline, configMapRef, module, volumePath" in _refusal(
        head + "  code: {}\n" + rest[rest.index("  inputs:") :]
    )


@pytest.mark.parametrize(
    "text",
    ["", "just text", "[1, 2]", "5", GOOD + "---\n" + GOOD, "a: b: c", "\t", "x" * 2_000_000, "[" * 10_000],
)
def test_what_is_no_manifest_is_refused_in_words(text: str) -> None:
    assert _refusal(text)


def test_an_object_read_back_from_a_cluster_is_read_without_its_status() -> None:
    text = GOOD.replace("{name: wordcount}", "{name: wordcount, uid: abc, creationTimestamp: 2024-01-01T00:00:00Z}")
    assert manifest.from_yaml(text + "status: {phase: Complete}\n").spec == manifest.from_yaml(GOOD).spec


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("part", "gives different parts the same name"),
        ("a/{partition}", "Leave out slashes"),
        ("_{partition}", "Leave out slashes"),
        ("{nothing}", "is not a name with {partition} in it"),
        ("{partition:q}", "is not a name with {partition} in it"),
        ("{partition.real.__class__.x}", "is not a name with {partition} in it"),
        ("{}{partition}", "is not a name with {partition} in it"),
        ("x" * 199 + "{partition}", "must be at most 200 characters long"),
    ],
)
def test_a_name_template_must_give_each_part_a_name_of_its_own(template: str, said: str) -> None:
    assert said in _refusal(GOOD.replace("{uri: out/}", f"{{uri: out/, nameTemplate: '{template}'}}"))


def test_bytes_do_not_go_with_json() -> None:
    assert "spec.inputs[0].encoding: bytes does not go with" in _refusal(
        GOOD.replace("uri: books/", "{uri: b, format: jsonl, encoding: bytes}")
    )


def test_a_file_that_cannot_be_read_or_is_not_utf8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidJobSpec, match="cannot be read"):
        manifest.from_file(tmp_path / "gone.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9")
    with pytest.raises(InvalidJobSpec, match="is not UTF-8"):
        manifest.from_file(tmp_path / "latin.yaml")
    (tmp_path / "good.yaml").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert manifest.from_file(tmp_path / "good.yaml").metadata.name == "wordcount"


def test_source_goes_into_a_manifest_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "job.py"
    path.write_text("def mapper(x): ...\n")
    spec = JobSpec(code=Code(volume_path=str(path)), inputs=(Input(uri="a"),), output=Output(uri="o"))
    assert manifest.with_inline_code(spec, path).code == Code(inline="def mapper(x): ...\n")
    path.write_text("#" * 70_000)
    with pytest.raises(InvalidJobSpec, match=r"a manifest holds 65536\..*code.configMapRef"):
        manifest.with_inline_code(spec, path)
