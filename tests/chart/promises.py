"""What the chart promises beyond what schemas know."""

import re

from objects import ROOT, name, pods


def selects(selector, labels):
    return all(labels.get(key) == value for key, value in selector.items())


def pod_errors(one, metadata, spec):
    security = spec.get("securityContext", {})
    if security.get("runAsNonRoot") is not True or not security.get("runAsUser"):
        yield "may run as root"
    if spec.get("automountServiceAccountToken") is not False:
        yield "has a token of Kubernetes, which it does not use"
    if spec.get("enableServiceLinks") is not False:
        # Of a service named understudy-… Kubernetes would make variables that the product takes for keys, and refuses.
        yield "gets variables of services"
    for container in spec["containers"]:
        security = container.get("securityContext", {})
        if security.get("readOnlyRootFilesystem") is not True:
            yield "its root file system can be written"
        if security.get("allowPrivilegeEscalation") is not False or security.get("capabilities") != {"drop": ["ALL"]}:
            yield "keeps privileges"
        if not container["resources"].get("limits", {}).get("memory"):
            yield "has no limit of memory"
        words = [*container["command"], *container.get("args", [])]
        if any(re.search("password|secret", word.lower()) for word in words):
            yield f"a secret among its arguments: {words}"
        if one["kind"] == "Pod":
            continue
        for probe, path in (("readinessProbe", "/readyz"), ("livenessProbe", "/livez"), ("startupProbe", "/livez")):
            if container.get(probe, {}).get("httpGet") != {"path": path, "port": "admin"}:
                yield f"{probe} does not ask {path} of the admin port"


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h|d)", text).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}[unit]


def setting(config, section, key, default):
    """A key of the rendered configuration (deploy/understudy.toml has the defaults)."""
    part = re.search(rf"^\[{section}\]\n((?:(?!\[).*\n)*)", config + "\n", re.M)
    found = part and re.search(rf'^{key} = "?([^"\n]+)"?$', part[1], re.M)
    return found[1] if found else default


def drain_errors(objects):
    """A pod is left the time that its process may take, and traffic goes elsewhere before that."""
    config = next(one["data"]["understudy.toml"] for one in objects if "understudy.toml" in one.get("data", {}))
    drain = 2 * seconds(setting(config, "gateway", "drain_timeout", "30s"))
    drain += seconds(setting(config, "gateway", "drain_notice", "1s"))
    drain += seconds(setting(config, "protocol", "settle_after", "2s"))
    leave = seconds(setting(config, "consumer", "revoke_timeout", "5s")) + 10
    for one, _, spec in pods(objects):
        if one["kind"] == "Pod":
            continue
        container = spec["containers"][0]
        grace = spec["terminationGracePeriodSeconds"]
        if container["name"] == "gateway":
            before = container["lifecycle"]["preStop"]["exec"]["command"]
            if before[0] != "sleep" or int(before[1]) < 1:
                yield f"{name(one)}: nothing waits before SIGTERM: {before}"
            if grace <= drain + int(before[1]):
                yield f"{name(one)}: killed after {grace} s, and may drain for {drain + int(before[1])} s"
            if one["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] != 0:
                yield f"{name(one)}: an update takes a gateway away before another is ready"
        elif grace <= leave:
            yield f"{name(one)}: killed after {grace} s, and may leave for {leave} s"


def scaling_errors(objects):
    """One scaler at most for each; consumers between one and their partitions; no number of replicas beside a scaler."""
    workloads = {(one["kind"], one["metadata"]["name"]): one for one in objects if one["kind"] in ("Deployment", "StatefulSet")}
    config = next(one["data"]["understudy.toml"] for one in objects if "understudy.toml" in one.get("data", {}))
    partitions = int(setting(config, "kafka", "partitions", "12"))
    scaled = {}
    for one in objects:
        if one["kind"] not in ("HorizontalPodAutoscaler", "ScaledObject"):
            continue
        to = one["spec"]["scaleTargetRef"]
        key = (to["kind"], to["name"])
        if key not in workloads:
            yield f"{name(one)}: scales {key}, which does not exist"
        if key in scaled:
            yield f"{name(one)}: {key} is scaled twice"
        scaled[key] = one
        if "consumer" in key[1]:
            low, high = one["spec"]["minReplicaCount"], one["spec"]["maxReplicaCount"]
            if not 1 <= low <= high <= partitions or "idleReplicaCount" in one["spec"]:
                yield f"{name(one)}: from {low} to {high} consumers for {partitions} partitions"
            down = one["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
            if down["stabilizationWindowSeconds"] < 60:
                yield f"{name(one)}: a lull makes it rebalance"
            if not 1 <= one["spec"]["fallback"]["replicas"] <= partitions:
                yield f"{name(one)}: falls back to {one['spec']['fallback']['replicas']}"
    for key, one in workloads.items():
        if ("replicas" in one["spec"]) == (key in scaled):
            yield f"{name(one)}: replicas are set {'beside a scaler' if key in scaled else 'by nobody'}"


def reference_errors(objects):
    """Whatever is named, exists; whatever selects, selects."""
    own = {(one["kind"], one["metadata"]["name"]): one for one in objects}
    labels = {name(one): metadata["labels"] for one, metadata, _ in pods(objects)}
    for one in objects:
        kind, spec = one["kind"], one.get("spec", {})
        if kind == "Service":
            wanted = [spec["selector"]]
        elif kind == "PodDisruptionBudget":
            wanted = [spec["selector"]["matchLabels"]]
        elif kind == "NetworkPolicy":
            wanted = [spec["podSelector"]["matchLabels"]]
        elif kind in ("Deployment", "StatefulSet"):
            wanted = [spec["selector"]["matchLabels"]]
        else:
            wanted = []
        for selector in wanted:
            found = [key for key, these in labels.items() if selects(selector, these)]
            parts = {labels[key]["app.kubernetes.io/component"] for key in found}
            if not found or len(parts) > 1:
                yield f"{name(one)}: selects {found}"
        if kind == "ServiceMonitor":
            found = [key for key, other in own.items() if key[0] == "Service" and selects(spec["selector"]["matchLabels"], other["metadata"]["labels"])]
            ports = {port["name"] for key in found for port in own[key]["spec"]["ports"]}
            if not found or ports != {spec["endpoints"][0]["port"]}:
                yield f"{name(one)}: selects {found} with ports {ports}"
        if kind == "Ingress":
            for path in (path for rule in spec["rules"] for path in rule["http"]["paths"]):
                service = own.get(("Service", path["backend"]["service"]["name"]))
                names = [port["name"] for port in service["spec"]["ports"]] if service else []
                if path["backend"]["service"]["port"]["name"] not in names:
                    yield f"{name(one)}: leads to no port of a service"
        if kind == "ScaledObject":
            for trigger in spec["triggers"]:
                wants = trigger.get("authenticationRef", {}).get("name")
                if trigger["type"] == "kafka" and wants and ("TriggerAuthentication", wants) not in own:
                    yield f"{name(one)}: there is no TriggerAuthentication {wants}"
        if one["metadata"]["namespace"] == "":
            yield f"{name(one)}: has no namespace"
    for one, _, spec in pods(objects):
        account = spec["serviceAccountName"]
        if account != "default" and ("ServiceAccount", account) not in own:
            yield f"{name(one)}: there is no ServiceAccount {account}"


def topic_errors(objects):
    """KafkaTopics are as the product makes its topics (common/src/topics.rs)."""
    topics = {one["spec"]["topicName"]: one["spec"] for one in objects if one["kind"] == "KafkaTopic"}
    if not topics:
        return
    source = (ROOT / "common/src/topics.rs").read_text(encoding="utf-8")
    config = next(one["data"]["understudy.toml"] for one in objects if "understudy.toml" in one.get("data", {}))
    prefix = setting(config, "kafka", "topic_prefix", "understudy")
    targets = re.findall('"([^"]+)"', re.search(r"^targets = \[(.*)\]", config, re.M)[1])
    single = {f"{prefix}.{one}" for one in re.findall(r'format!\("\{\}\.(\w+)", self\.prefix\)', source) if one != "reconciler"}
    each = re.findall(r'format!\("\{\}\.(\w+)\.\{target\}", self\.prefix\)', source)
    wanted = single | {f"{prefix}.{one}.{target}" for one in each for target in targets}
    if wanted != topics.keys():
        yield f"KafkaTopics are {sorted(topics)}, the product's are {sorted(wanted)}"
    settings = set(re.findall(r'\("([a-z]+\.[a-z.]+)",', source))
    made = {key for one in topics.values() for key in one["config"]}
    if settings != made:
        yield f"settings of KafkaTopics differ from the product's: {sorted(settings ^ made)}"
    intents = int(re.search(r"INTENT_PARTITIONS: i32 = (\d+);", source)[1])
    if topics[f"{prefix}.intents"]["partitions"] != intents:
        yield f"{prefix}.intents has not {intents} partitions"
    if setting(config, "kafka", "create_topics", "true") != "false":
        yield "Understudy would create topics beside Strimzi"


def right_errors(objects):
    """The rights of a KafkaUser reach every group that the product names; they were tried on a broker with an authorizer."""
    reader = re.search(r'READER: &str = "([^"]+)"', (ROOT / "common/src/kafka/read.rs").read_text(encoding="utf-8"))[1]
    for one in objects:
        if one["kind"] == "KafkaUser":
            groups = [acl["resource"]["name"] for acl in one["spec"]["authorization"]["acls"] if acl["resource"]["type"] == "group"]
            if not any(reader.startswith(prefix) for prefix in groups):
                yield f"{name(one)}: may not name the group {reader}"


def clear_text(objects):
    """With tls.enabled nothing goes in the clear, and nobody is spoken to without a password or a certificate."""
    config = next(one["data"]["understudy.toml"] for one in objects if "understudy.toml" in one.get("data", {}))
    if "http://" in config:
        yield "the configuration has an address without TLS"
    for cluster in re.findall(r"^\[clusters\.([^.\]]+)\]$", config, re.M):
        if not setting(config, rf"clusters\.{cluster}", "password_file", ""):
            yield f"the cluster {cluster} is spoken to without a password"
    if not setting(config, r"gateway\.tls", "key_file", ""):
        yield "gateways speak plain HTTP"
    if setting(config, r"kafka\.options", '"security.protocol"', "") != "sasl_ssl":
        yield "Kafka is spoken to without TLS or without a password"
    for one in objects:
        if one["kind"] == "ScaledObject":
            for trigger in one["spec"]["triggers"]:
                if trigger["type"] != "kafka":
                    continue
                if trigger["metadata"].get("tls") != "enable" or "sasl" not in trigger["metadata"]:
                    yield f"{name(one)}: KEDA asks Kafka in the clear"
        if one["kind"] == "Ingress" and not one["spec"].get("tls"):
            yield f"{name(one)}: takes plain HTTP"


def errors(objects):
    for one, metadata, spec in pods(objects):
        yield from (f"{name(one)}: {error}" for error in pod_errors(one, metadata, spec))
    for check in (drain_errors, scaling_errors, reference_errors, topic_errors, right_errors):
        yield from check(objects)
    names = [(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in objects]
    yield from (f"{one} stands twice" for one in {one for one in names if names.count(one) > 1})
