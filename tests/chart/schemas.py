"""Every object against the schema of its kind. A kind without a schema is an error."""

import functools
import json
import os

import jsonschema
import kubernetes_validate
import yaml
from kubernetes_validate import utils

from objects import StrictLoader, name

# From the oldest that Chart.yaml takes to the newest.
VERSIONS = ["1.25", "1.29", "1.33", "1.37"]
# Each object would read a megabyte of definitions again.
utils.schema_contents = functools.cache(utils.schema_contents)


def strict(schema):
    """A schema of a CRD as JSON schema, in which keys that it does not know are errors, as `kubectl --validate=strict` has it."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {
        key: {field: strict(one) for field, one in value.items()} if key == "properties" else strict(value)
        for key, value in schema.items()
        if key not in ("description", "default", "example", "format")
    }
    if schema.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
        made["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if schema.get("nullable") and "type" in made:
        made["type"] = [made["type"], "null"]
    open_to_all = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if "properties" in schema and not open_to_all:
        made["additionalProperties"] = False
    return made


@functools.cache
def of_crds():
    """The schema of every version of every kind, by apiVersion and kind."""
    found = {}
    for file in filter(None, os.environ["CRDS"].split(":")):
        with open(file, encoding="utf-8") as text:
            for crd in yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
                spec = (crd or {}).get("spec")
                for version in spec["versions"] if spec else []:
                    schema = strict(version["schema"]["openAPIV3Schema"])
                    # What stands in metadata is Kubernetes' own.
                    schema["properties"]["metadata"] = {"type": "object"}
                    key = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
                    found[key] = jsonschema.Draft202012Validator(schema)
    return found


SEEN = {}


def errors(one):
    """What is wrong with an object."""
    text = json.dumps(one, sort_keys=True)
    if text not in SEEN:
        SEEN[text] = list(look(one))
    return SEEN[text]


def look(one):
    crd = of_crds().get((one["apiVersion"], one["kind"]))
    if crd:
        yield from (f"{name(one)}: {error.json_path}: {error.message[:300]}" for error in crd.iter_errors(one))
        return
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(one, version, strict=True)
        except utils.SchemaNotFoundError:
            yield f"{name(one)}: there is no schema for {one['kind']} of {one['apiVersion']} in Kubernetes {version}"
        except kubernetes_validate.ValidationError as error:
            yield f"{name(one)}: Kubernetes {version}: {error.json_path}: {error.message[:300]}"
