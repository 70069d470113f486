"""Turns what `cargo metadata` prints into what it printed until Rust 1.76, which cargo-deny 0.14 reads: packages were named
otherwise, and its list of licences ends before Unicode-3.0, which is Unicode-DFS-2016 with other words."""

import json
import sys

metadata = json.load(sys.stdin)
names = {}
for one in metadata["packages"]:
    path = "path+file://" + one["manifest_path"].rsplit("/", 1)[0]
    names[one["id"]] = f"{one['name']} {one['version']} ({one['source'] or path})"
for one in metadata["packages"]:
    one["id"] = names[one["id"]]
    if one["license"]:
        one["license"] = one["license"].replace("Unicode-3.0", "Unicode-DFS-2016")
for key in ("workspace_members", "workspace_default_members"):
    metadata[key] = [names[one] for one in metadata[key]]
resolve = metadata["resolve"]
resolve["root"] = resolve["root"] and names[resolve["root"]]
for node in resolve["nodes"]:
    node["id"] = names[node["id"]]
    node["dependencies"] = [names[one] for one in node["dependencies"]]
    for one in node["deps"]:
        one["pkg"] = names[one["pkg"]]
json.dump(metadata, sys.stdout)
