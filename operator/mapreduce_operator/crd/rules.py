"""What the schema of a job says beyond types and bounds: rules in CEL, each with the sentence for who breaks it. Pure.

A rule belongs to the struct whose fields it compares. It must be cheap in the API server's estimate, which multiplies
by the longest list and text that the schema allows. What only a look at the
cluster tells is the operator's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from mapreduce.model import Code, Input, JobSpec, Output, Storage, Volume

Because = Literal["FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired", "FieldValueDuplicate"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: a CEL expression that is true for what is accepted."""

    rule: str
    message: str
    """Names the field and what to write instead."""
    field: str = ""
    """The field at fault, from the rule's own place; empty for that itself."""
    reason: Because = "FieldValueInvalid"
    shows: str = ""
    """A CEL expression for a message with the value at fault; `message` where it cannot be had."""


#: The name of a claim or a ConfigMap; as short as can be, because the estimate counts a pattern's characters too.
_VOLUME: Final = r"[a-z\\d]([-a-z\\d.]{0,251}[a-z\\d])?"


def _no_way_up(field: str, named: str) -> Rule:
    value = f"self.{field}"
    return Rule(
        rf"!has({value}) || {value}.startsWith('http') || !{value}.matches('/[.][.]?(/|$)|\\x00')",
        f"{named} must not contain '.', '..' or NUL as part of a path: name the file from the volume's root",
        f".{field}",
    )


RULES: Final[Mapping[type[msgspec.Struct], tuple[Rule, ...]]] = {
    Volume: (
        Rule(
            "!(has(self.claimName) && has(self.claimTemplate))",
            "a volume has at most one of claimName (one that exists) and claimTemplate (one to make): leave one out",
        ),
    ),
    Code: (
        Rule(
            "[has(self.inline), has(self.configMapRef), has(self.module), has(self.volumePath)]"
            ".exists_one(given, given)",
            "code must have exactly one of inline, configMapRef, module and volumePath",
        ),
        Rule(
            rf"!has(self.volumePath) || self.volumePath.matches('^pvc://{_VOLUME}/+[^/]')",
            "code.volumePath must be pvc://CLAIM/PATH in a cluster, such as pvc://code/job.py",
            ".volumePath",
        ),
        _no_way_up("volumePath", "code.volumePath"),
    ),
    Input: (
        Rule(
            "has(self.uri) != has(self.inline)",
            "an input must have exactly one of uri (where the data is) and inline (the text itself)",
        ),
        Rule(
            "!has(self.uri) || self.uri.startsWith('pvc://') || self.uri.startsWith('configmap://')"
            " || self.uri.startsWith('http://') || self.uri.startsWith('https://')",
            "uri must be pvc://CLAIM/PATH, configmap://NAME/KEY, http:// or https:// in a cluster",
            ".uri",
            shows="'uri is ' + self.uri + ', but must be pvc://CLAIM/PATH, configmap://NAME/KEY, http:// or https:// "
            "in a cluster'",
        ),
        Rule(
            "!has(self.uri) || !(self.uri.startsWith('pvc://') || self.uri.startsWith('configmap://'))"
            rf" || self.uri.matches('^\\w+://{_VOLUME}(/|$)')",
            "uri must name a claim or ConfigMap after ://, in lower case, such as pvc://books/2024/*.txt",
            ".uri",
        ),
        Rule(
            "!has(self.uri) || !self.uri.startsWith('http') || self.uri.matches('^https?://[^/?#@]+([/?#]|$)')",
            "uri must name a host and no password: give credentials as headers, by a Secret in secretRef",
            ".uri",
        ),
        _no_way_up("uri", "uri"),
        Rule(
            "!has(self.secretRef) || (has(self.uri) && self.uri.startsWith('http'))",
            "secretRef goes with an http:// or https:// uri only: leave it out",
            ".secretRef",
            "FieldValueForbidden",
        ),
        Rule(
            "!(has(self.encoding) && self.encoding == 'bytes' && has(self.format) && self.format in ['jsonl', 'csv'])",
            "encoding bytes does not go with the formats jsonl and csv: use lines or files",
            ".encoding",
        ),
    ),
    Output: (
        Rule(
            rf"self.uri.matches('^pvc://{_VOLUME}/+[^/]')",
            "output.uri must be pvc://CLAIM/FOLDER in a cluster, such as pvc://results/wordcount",
            ".uri",
        ),
        _no_way_up("uri", "output.uri"),
        Rule(
            "!has(self.nameTemplate)"
            r" || self.nameTemplate.matches('^([^{}]*[{]partition(:0?[0-9]?d?)?[}])+[^{}]*$')",
            "output.nameTemplate must contain {partition}, as in part-{partition:05d}, and no other braces",
            ".nameTemplate",
        ),
        Rule(
            r"!has(self.nameTemplate) || !self.nameTemplate.matches('^[._]|[/\x00]')",
            "output.nameTemplate must not contain a slash or begin with a dot or an underscore",
            ".nameTemplate",
        ),
        Rule(
            "!has(self.nameTemplate) || size(bytes(self.nameTemplate)) <= 200",
            "output.nameTemplate must be at most 200 bytes long in UTF-8",
            ".nameTemplate",
        ),
    ),
    JobSpec: (
        Rule(
            "self.inputs.map(given, has(given.inline) ? size(given.inline) : 0).sum() <= 262144",
            "the inline texts of all inputs must be at most 262144 characters long together: put them on a volume",
            ".inputs",
        ),
    ),
    Storage: (
        Rule(
            "!(has(self.shuffle) && self.shuffle == 'Peer' && has(self.runs)"
            " && (has(self.runs.claimName) || has(self.runs.claimTemplate)))",
            "storage.runs is for shuffle Shared: with Peer, runs lie on the workers' own disks and their copies beside "
            "the log; leave it out",
            ".runs",
            "FieldValueForbidden",
        ),
    ),
}
"""Rules of each struct of the specification."""

#: What decides the result. While a job runs, all else may be edited.
FROZEN: Final = (
    "code",
    "inputs",
    "output",
    "mapper",
    "combiner",
    "reducer",
    "reducers",
    "args",
    "splitSizeBytes",
    "storage",
    "image",
)
_REQUIRED: Final = ("code", "inputs", "output")


def _freeze(field: str) -> Rule:
    """Refuses to change a field once the job has started: at the root, the only place that sees status and spec."""
    now, before = f"self.spec.{field}", f"oldSelf.spec.{field}"
    unchanged = f"{now} == {before}"
    if field not in _REQUIRED:
        unchanged = f"has({now}) == has({before}) && (!has({now}) || {unchanged})"
    return Rule(
        f"!has(oldSelf.status) || !has(oldSelf.status.startTime) || ({unchanged})",
        f"spec.{field} cannot be changed once the job has started: delete the job and apply it again, or give it "
        "another name",
        f".spec.{field}",
        "FieldValueForbidden",
    )


ROOT_RULES: Final = (
    Rule(
        "size(self.metadata.name) <= 63",
        "metadata.name must be at most 63 characters long: it becomes a label of the job's pods",
    ),
    *map(_freeze, FROZEN),
)
"""Rules of the whole object."""
