"""The syntax of names, labels and annotations: k8s.io/apimachinery/pkg/util/validation, with its messages.

Each `is_...` check gives the list of complaints, empty when all is well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from labkit.pocket.api.fields import ErrorType, FieldError, forbidden, invalid, required

LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
LABEL_WORDS = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and "
    "end with an alphanumeric character"
)
SUBDOMAIN = rf"{LABEL}(\.{LABEL})*"
SUBDOMAIN_WORDS = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character"
)
DNS1035 = r"[a-z]([-a-z0-9]*[a-z0-9])?"
DNS1035_WORDS = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
    "character, and end with an alphanumeric character"
)
QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
QUALIFIED_WORDS = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character"
)
LABEL_VALUE = rf"({QUALIFIED})?"
LABEL_VALUE_WORDS = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
    "start and end with an alphanumeric character"
)

_label = re.compile(LABEL)
_subdomain = re.compile(SUBDOMAIN)
_dns1035 = re.compile(DNS1035)
_qualified = re.compile(QUALIFIED)
_label_value = re.compile(LABEL_VALUE)
_env_name = re.compile(r"[ -<>-~]+")
_config_key = re.compile(r"[-._a-zA-Z0-9]+")

MAX_ANNOTATIONS = 256 * 1024
_STANDARD_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")


def _regex(words: str, pattern: str, *examples: str) -> str:
    # The comma and two blanks are upstream's.
    shown = ",  or ".join(f"'{example}'" for example in examples)
    return f"{words} (e.g. {shown}, regex used for validation is '{pattern}')"


def _max_length(length: int) -> str:
    return f"must be no more than {length} characters"


def is_dns_label(value: str) -> list[str]:
    """RFC 1123 label: a namespace's or a port's name."""
    problems = []
    if len(value) > 63:
        problems.append(_max_length(63))
    if not _label.fullmatch(value):
        problems.append(_regex(LABEL_WORDS, LABEL, "my-name", "123-abc"))
    return problems


def is_dns_subdomain(value: str) -> list[str]:
    """RFC 1123 subdomain: most objects' names."""
    problems = []
    if len(value) > 253:
        problems.append(_max_length(253))
    if not _subdomain.fullmatch(value):
        problems.append(_regex(SUBDOMAIN_WORDS, SUBDOMAIN, "example.com"))
    return problems


def is_dns1035_label(value: str) -> list[str]:
    """RFC 1035 label: a Service's name."""
    problems = []
    if len(value) > 63:
        problems.append(_max_length(63))
    if not _dns1035.fullmatch(value):
        problems.append(_regex(DNS1035_WORDS, DNS1035, "my-name", "abc-123"))
    return problems


def is_path_segment(value: str) -> list[str]:
    """Names that only have to fit into a URL."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{character}'" for character in ("/", "%") if character in value]


def is_qualified_name(value: str) -> list[str]:
    """`app`, `example.com/app`: keys of labels and annotations, finalizers."""
    parts = value.split("/")
    problems: list[str] = []
    if len(parts) == 1:
        name = parts[0]
    elif len(parts) == 2:
        prefix, name = parts
        if not prefix:
            problems.append("prefix part must be non-empty")
        else:
            problems += ["prefix part " + problem for problem in is_dns_subdomain(prefix)]
    else:
        return [
            "a qualified name "
            + _regex(QUALIFIED_WORDS, QUALIFIED, "MyName", "my.name", "123-abc")
            + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        ]
    if not name:
        problems.append("name part must be non-empty")
    elif len(name) > 63:
        problems.append("name part " + _max_length(63))
    if not _qualified.fullmatch(name):
        problems.append("name part " + _regex(QUALIFIED_WORDS, QUALIFIED, "MyName", "my.name", "123-abc"))
    return problems


def is_label_value(value: str) -> list[str]:
    """The value of a label; empty is allowed."""
    problems = []
    if len(value) > 63:
        problems.append(_max_length(63))
    if not _label_value.fullmatch(value):
        problems.append(_regex(LABEL_VALUE_WORDS, LABEL_VALUE, "MyValue", "my_value", "12345"))
    return problems


def is_env_name(value: str) -> list[str]:
    """The name of an environment variable (the relaxed rule of 1.34)."""
    if not _env_name.fullmatch(value):
        return [
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
        ]
    return []


def is_config_key(value: str) -> list[str]:
    """A key of a ConfigMap or Secret."""
    problems = []
    if len(value) > 253:
        problems.append(_max_length(253))
    if not _config_key.fullmatch(value):
        problems.append(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
            "'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
        )
    if value in (".", "..") or value.startswith(".."):
        problems.append(f"must not be '{value}'" if value in (".", "..") else "must not start with '..'")
    return problems


def is_port_name(value: str) -> list[str]:
    """IANA service name: a container port's name, a named target port."""
    problems = []
    if len(value) > 15:
        problems.append("must be no more than 15 characters")
    if not re.fullmatch(r"[-a-z0-9]+", value):
        problems.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search(r"[a-z]", value):
        problems.append("must contain at least one letter (a-z)")
    if "--" in value:
        problems.append("must not contain consecutive hyphens")
    if value and (value[0] == "-" or value[-1] == "-"):
        problems.append("must not begin or end with a hyphen")
    return problems


def is_port_number(value: int) -> list[str]:
    """1 to 65535."""
    return [] if 1 <= value <= 65535 else ["must be between 1 and 65535, inclusive"]


def label_map(value: Mapping[str, Any] | None, field: str) -> list[FieldError]:
    """Errors of a labels map (ValidateLabels)."""
    errors = []
    for key, text in sorted((value or {}).items()):
        errors += [invalid(field, key, problem) for problem in is_qualified_name(key)]
        errors += [invalid(field, text, problem) for problem in is_label_value(text)]
    return errors


def annotation_map(value: Mapping[str, Any] | None, field: str) -> list[FieldError]:
    """Errors of an annotations map: keys are names, the whole is at most 256 KiB."""
    errors = []
    total = 0
    for key, text in sorted((value or {}).items()):
        errors += [invalid(field, key, problem) for problem in is_qualified_name(key.lower())]
        total += len(key.encode()) + len(str(text).encode())
    if total > MAX_ANNOTATIONS:
        errors.append(
            FieldError(ErrorType.TOO_LONG, field, None, f"may not be more than {MAX_ANNOTATIONS} bytes")
        )
    return errors


def object_meta(
    metadata: Mapping[str, Any],
    check_name: Callable[[str], list[str]],
    *,
    field: str = "metadata",
    namespaced: bool = True,
) -> list[FieldError]:
    """Errors of an object's metadata (ValidateObjectMeta)."""
    errors: list[FieldError] = []
    generate = metadata.get("generateName", "")
    if generate:
        masked = generate[:-1] + "a" if generate.endswith("-") and len(generate) > 1 else generate
        errors += [invalid(f"{field}.generateName", generate, problem) for problem in check_name(masked)]
    name = metadata.get("name", "")
    if not name:
        errors.append(required(f"{field}.name", "name or generateName is required"))
    else:
        errors += [invalid(f"{field}.name", name, problem) for problem in check_name(name)]
    namespace = metadata.get("namespace", "")
    if namespaced:
        if not namespace:
            errors.append(required(f"{field}.namespace"))
        else:
            errors += [
                invalid(f"{field}.namespace", namespace, problem) for problem in is_dns_label(namespace)
            ]
    elif namespace:
        errors.append(forbidden(f"{field}.namespace", "not allowed on this type"))
    errors += label_map(metadata.get("labels"), f"{field}.labels")
    errors += annotation_map(metadata.get("annotations"), f"{field}.annotations")
    errors += _owner_references(metadata.get("ownerReferences") or [], f"{field}.ownerReferences")
    for index, finalizer in enumerate(metadata.get("finalizers") or []):
        errors += [
            invalid(f"{field}.finalizers", finalizer, problem) for problem in is_qualified_name(finalizer)
        ]
        errors += _standard(finalizer, f"{field}.finalizers[{index}]")
    return errors


def finalizer_names(finalizers: Sequence[str], field: str) -> list[FieldError]:
    """The finalizers of a Namespace's spec: qualified names, and standard ones where they have no slash."""
    errors: list[FieldError] = []
    for finalizer in finalizers:
        errors += [invalid(field, finalizer, problem) for problem in is_qualified_name(finalizer)]
        errors += _standard(finalizer, field)
    return errors


def _standard(finalizer: str, field: str) -> list[FieldError]:
    if "/" in finalizer or finalizer in _STANDARD_FINALIZERS:
        return []
    return [invalid(field, finalizer, "name is neither a standard finalizer name nor is it fully qualified")]


def _owner_references(references: list[dict[str, Any]], field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    controllers: list[str] = []
    for reference in references:
        if not reference.get("apiVersion"):
            errors.append(
                invalid(f"{field}.apiVersion", reference.get("apiVersion", ""), "version must not be empty")
            )
        errors += [
            invalid(f"{field}.{key}", reference.get(key, ""), "must not be empty")
            for key in ("kind", "name", "uid")
            if not reference.get(key)
        ]
        if reference.get("controller"):
            controllers.append(f"{reference.get('kind')}/{reference.get('name')}")
    if len(controllers) > 1:
        errors.append(
            invalid(
                field,
                references,
                "Only one reference can have Controller set to true. Found "
                f'"true" in references for {controllers[0]} and {controllers[1]}',
            )
        )
    return errors
