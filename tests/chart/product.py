"""The product itself checks what its containers would get: their arguments, variables, and files, from the volumes that are
really mounted."""

import functools
import os
import pathlib
import re
import subprocess

from objects import name, pods

HOME = "/etc/understudy"


@functools.cache
def certificate(folder):
    """A certificate and its key, for every secret that would hold one."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=chart", "-keyout", str(folder / "key"), "-out", str(folder / "crt")],
        check=True, capture_output=True,
    )
    return (folder / "crt").read_text(), (folder / "key").read_text()


class Container:
    """A container, as far as its files and variables go."""

    def __init__(self, objects, spec, container, root):
        self.root = root
        self.made = {(one["kind"], one["metadata"]["name"]): one for one in objects}
        self.spec, self.container, self.errors = spec, container, []
        self.files = {}
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        used = set()
        for mount in container.get("volumeMounts", []):
            used.add(mount["name"])
            if mount["name"] not in volumes:
                self.errors.append(f"no volume {mount['name']}")
                continue
            if not mount.get("readOnly"):
                self.errors.append(f"{mount['mountPath']} can be written")
            for path, text in self.volume(volumes[mount["name"]]):
                self.files[f"{mount['mountPath']}/{path}"] = text
        for unused in volumes.keys() - used:
            self.errors.append(f"the volume {unused} is not mounted")
        self.env = self.variables()

    def secret(self, kind, source, key):
        """The content of one key: the chart's own object must have it, others are assumed to."""
        own = self.made.get((kind, source))
        if own:
            data = own.get("data") or own.get("stringData") or {}
            if key not in data:
                self.errors.append(f"{kind} {source} has no key {key}")
            return data.get(key, "")
        if kind == "ConfigMap":
            self.errors.append(f"there is no ConfigMap {source}")
        return None

    def volume(self, volume):
        parts = volume.get("projected", {}).get("sources") or [volume]
        crt, key = certificate(str(self.root.parent / "certificate"))
        for part in parts:
            kind, source = ("ConfigMap", part["configMap"]) if "configMap" in part else ("Secret", part["secret"])
            for item in source["items"]:
                own = self.secret(kind, source.get("name") or source["secretName"], item["key"])
                stand_in = {"tls.key": key, "password": "secret"}.get(item["path"], crt)
                yield item["path"], stand_in if own is None else own

    def variables(self):
        made = {}
        for one in self.container.get("env", []):
            source = one.get("valueFrom", {})
            if "secretKeyRef" in source:
                value = self.secret("Secret", source["secretKeyRef"]["name"], source["secretKeyRef"]["key"]) or "secret"
            elif "fieldRef" in source:
                value = "a-pod-0"
            else:
                value = re.sub(r"\$\((\w+)\)", lambda found: made.get(found[1], found[0]), one["value"])
            made[one["name"]] = value
        if any("$(" in value for value in made.values()):
            self.errors.append("a variable names another that comes later")
        return made

    def check(self):
        """What the product says against it."""
        for path, text in self.files.items():
            file = pathlib.Path(f"{self.root}{path}")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.replace(HOME, f"{self.root}{HOME}"), encoding="utf-8")
        words = [*self.container["command"], *self.container.get("args", [])]
        words = [word.replace(HOME, f"{self.root}{HOME}") for word in words]
        config = f"{self.root}{HOME}/config/understudy.toml"
        runs = [["understudy", "config", "check", config]]
        if words[0] in ("understudy-gateway", "understudy-consumer"):
            runs.append([*words, "--check-config"])
        for run in runs:
            command = [str(pathlib.Path(os.environ["BINARIES"]) / run[0]), *run[1:]]
            env = {"PATH": os.environ["PATH"], **self.env}
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
            if done.returncode != 0:
                said = (done.stdout + done.stderr).replace(str(self.root), "").strip()
                self.errors.append(f"{run[0]} refuses it ({done.returncode}): {said}")


def errors(objects, root):
    """What the product says against every container."""
    for one, _, spec in pods(objects):
        for container in spec["containers"]:
            looked = Container(objects, spec, container, root / one["metadata"]["name"])
            looked.check()
            yield from (f"{name(one)}: {error}" for error in looked.errors)
