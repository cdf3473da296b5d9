"""A cluster's volumes as paths: in pods, and on a machine where folders stand for claims."""

from __future__ import annotations

from pathlib import Path

import pytest

from mapreduce.errors import InvalidJobSpec
from mapreduce.model import Code, ConfigMapKey, Input, JobSpec, NamedObject, Output
from mapreduce.volumes import in_pod, local_path, on_this_machine, pod_path, shown


def spec_of(*inputs: str, output: str = "pvc://results/wc", code: Code | None = None) -> JobSpec:
    return JobSpec(
        code=code or Code(inline="-"), inputs=tuple(Input(uri=uri) for uri in inputs), output=Output(uri=output)
    )


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("pvc://books/a.txt", "/mr/claims/books/a.txt"),
        ("pvc://books/2024/*.txt", "/mr/claims/books/2024/*.txt"),
        ("pvc://books/**/*.gz", "/mr/claims/books/**/*.gz"),
        ("pvc://books/", "/mr/claims/books"),
        ("pvc://books", "/mr/claims/books"),
        ("pvc://my.books-2//x/", "/mr/claims/my.books-2/x"),
        ("PVC://books/A b.txt", "/mr/claims/books/A b.txt"),
        ("configmap://settings/list.txt", "/mr/configmaps/settings/list.txt"),
        ("https://example.org/x", "https://example.org/x"),
        ("plain/path", "plain/path"),
    ],
)
def test_a_place_on_a_volume_is_a_path_in_a_pod(uri: str, path: str) -> None:
    assert pod_path("spec.inputs[0].uri", uri) == path


@pytest.mark.parametrize(
    "uri",
    [
        "pvc://",
        "pvc:///x",
        "pvc://Books/x",
        "pvc://-a/x",
        "pvc://books/../x",
        "pvc://books/a/..",
        "pvc://books/./x",
        "pvc://../x",
        "pvc://books/a\0b",
        "configmap://a_b/x",
        "pvc://books\n/x",
    ],
)
def test_a_place_that_would_lead_elsewhere_or_nowhere_is_refused_with_its_field(uri: str) -> None:
    with pytest.raises(InvalidJobSpec) as caught:
        pod_path("spec.inputs[3].uri", uri)
    assert caught.value.field == "spec.inputs[3].uri"
    assert "Write like" in str(caught.value)


def test_all_places_of_a_job_become_paths() -> None:
    spec = in_pod(spec_of("pvc://books/*", "https://h/x", code=Code(volume_path="pvc://code/job.py")))
    assert [source.uri for source in spec.inputs] == ["/mr/claims/books/*", "https://h/x"]
    assert spec.output.uri == "/mr/claims/results/wc"
    assert spec.code.volume_path == "/mr/claims/code/job.py"


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (spec_of("books/a.txt"), "spec.inputs[0].uri"),
        (spec_of("pvc://b/x", "file:///etc/passwd"), "spec.inputs[1].uri"),
        (spec_of("pvc://b/x", output="out"), "spec.output.uri"),
        (spec_of("pvc://b/x", output="https://h/x"), "spec.output.uri"),
        (spec_of("pvc://b/x", output="configmap://c/x"), "spec.output.uri"),
        (spec_of("pvc://b/x", code=Code(volume_path="job.py")), "spec.code.volumePath"),
    ],
)
def test_what_pods_cannot_see_is_refused_with_its_field(spec: JobSpec, field: str) -> None:
    with pytest.raises(InvalidJobSpec) as caught:
        in_pod(spec)
    assert caught.value.field == field


def test_a_message_shows_the_places_that_its_reader_wrote() -> None:
    assert shown("input /mr/claims/books/a.txt: gone") == "input pvc://books/a.txt: gone"
    assert shown("/x/configmaps/c/k", root="/x") == "configmap://c/k"


def test_a_folder_stands_for_a_claim() -> None:
    claims = {"books": Path("/data/books"), "results": Path("/tmp/r")}
    spec = on_this_machine(spec_of("pvc://books/*.txt", "other/x"), claims)
    assert [source.uri for source in spec.inputs] == ["/data/books/*.txt", "other/x"]
    assert spec.output.uri == "/tmp/r/wc"


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (spec_of("pvc://books/x", output="out"), "--claim books=FOLDER"),
        (spec_of("a", output="pvc://results/wc"), "--claim results=FOLDER"),
        (spec_of("configmap://c/x", output="out"), "--claim c=FOLDER"),
        (spec_of("a", output="out", code=Code(config_map_ref=ConfigMapKey(name="jobs"))), "--claim jobs=FOLDER"),
        (
            JobSpec(
                code=Code(inline="-"),
                inputs=(Input(uri="https://h/x", secret_ref=NamedObject(name="key")),),
                output=Output(uri="out"),
            ),
            "no Secrets on this machine",
        ),
    ],
)
def test_what_only_clusters_have_is_refused_with_what_to_do(spec: JobSpec, told: str) -> None:
    with pytest.raises(InvalidJobSpec, match=told):
        on_this_machine(spec, {})


def test_no_path_leads_out_of_a_folder_that_stands_for_a_claim() -> None:
    with pytest.raises(InvalidJobSpec):
        local_path("spec.inputs[0].uri", "pvc://books/../../etc/passwd", {"books": Path("/data")})


@pytest.mark.parametrize("place", ["https://h/job.py", "https:///a", "http://h/job.py"])
def test_code_on_a_web_server_is_refused_in_a_pod_as_the_api_server_does(place: str) -> None:
    with pytest.raises(InvalidJobSpec, match=r"code\.volumePath.*Write pvc://CLAIM/PATH"):
        in_pod(spec_of("https://h/x", code=Code(volume_path=place)))
