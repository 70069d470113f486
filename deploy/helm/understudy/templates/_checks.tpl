{{/* What the schema cannot say, or not in words that help. */}}
{{- define "understudy.checks" -}}
{{- $root := . -}}
{{- $values := .Values -}}
{{- $kafka := $values.kafka -}}
{{- $placement := $values.placement -}}
{{- if not $values.clusters -}}
{{- fail "clusters: name the primary and its targets, such as clusters.primary.urls={https://es-primary:9200}" -}}
{{- end -}}
{{- if not $kafka.bootstrapServers -}}
{{- fail "kafka.bootstrapServers: name at least one broker, such as kafka-bootstrap:9092" -}}
{{- end -}}
{{- range prepend $placement.targets $placement.primary -}}
{{- if not (hasKey $values.clusters .) -}}
{{- fail (printf "placement: %q is none of clusters (%s)" . (keys $values.clusters | sortAlpha | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- if has $placement.primary $placement.targets -}}
{{- fail (printf "placement.targets: %q is the primary; a cluster cannot follow itself" $placement.primary) -}}
{{- end -}}
{{- range $name, $cluster := $values.clusters -}}
{{- $secret := get (default (dict) $cluster.existingSecret) "name" -}}
{{- if and $cluster.password $secret -}}
{{- fail (printf "clusters.%s: password and existingSecret exclude each other" $name) -}}
{{- end -}}
{{- if and $cluster.username (not (or $cluster.password $secret)) -}}
{{- fail (printf "clusters.%s: username needs existingSecret.name (or password)" $name) -}}
{{- end -}}
{{- if and (or $cluster.password $secret) (not $cluster.username) -}}
{{- fail (printf "clusters.%s: a password needs a username" $name) -}}
{{- end -}}
{{- end -}}

{{- if $values.tls.enabled -}}
{{- range $name, $cluster := $values.clusters -}}
{{- range $cluster.urls -}}
{{- if not (hasPrefix "https://" .) -}}
{{- fail (printf "tls.enabled: %s of clusters.%s would be spoken to in the clear; name https addresses" . $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $values.gateway.ingress.enabled (not $values.gateway.ingress.tls) -}}
{{- fail "tls.enabled: what comes through the ingress would come in the clear; set gateway.ingress.tls" -}}
{{- end -}}
{{- end -}}

{{- if and $values.gateway.hpa.enabled $values.gateway.keda.enabled -}}
{{- fail "gateway: hpa (CPU) and keda (bytes in flight) would scale against each other; enable one of them" -}}
{{- end -}}
{{- if and $values.gateway.hpa.enabled (not (get (default (dict) $values.gateway.resources.requests) "cpu")) -}}
{{- fail "gateway.hpa: a share of CPU needs gateway.resources.requests.cpu" -}}
{{- end -}}
{{- if and $values.gateway.keda.enabled (not $values.gateway.keda.prometheus.serverAddress) -}}
{{- fail "gateway.keda.prometheus.serverAddress: name the Prometheus that scrapes the gateways, such as http://prometheus.monitoring:9090" -}}
{{- end -}}
{{- range $kind := list "hpa" "keda" -}}
{{- $scaling := get $values.gateway $kind -}}
{{- if and $scaling.enabled (gt (int $scaling.minReplicas) (int $scaling.maxReplicas)) -}}
{{- fail (printf "gateway.%s: minReplicas (%d) is above maxReplicas (%d)" $kind (int $scaling.minReplicas) (int $scaling.maxReplicas)) -}}
{{- end -}}
{{- end -}}
{{- $flight := default "512MiB" $values.config.gateway.max_bytes_in_flight -}}
{{- $limit := include "understudy.bytes" (dict "of" $flight "key" "config.gateway.max_bytes_in_flight") | int64 -}}
{{- $each := include "understudy.bytes" (dict "of" $values.gateway.keda.bytesInFlight "key" "gateway.keda.bytesInFlight") | int64 -}}
{{- if and $values.gateway.keda.enabled (ge $each $limit) -}}
{{- fail (printf "gateway.keda.bytesInFlight (%s) must be below config.gateway.max_bytes_in_flight (%s), or gateways refuse before they are more" (toString $values.gateway.keda.bytesInFlight) (toString $flight)) -}}
{{- end -}}
{{- if and $values.gateway.tls.enabled (not $values.gateway.tls.existingSecret) -}}
{{- fail "gateway.tls.existingSecret: TLS needs a secret with the certificate and its key" -}}
{{- end -}}
{{- if and $values.gateway.tls.clientCa.existingSecret (not $values.gateway.tls.enabled) -}}
{{- fail "gateway.tls.clientCa: clients show certificates only by TLS; set gateway.tls.enabled" -}}
{{- end -}}
{{- if and $values.gateway.ingress.enabled (not $values.gateway.ingress.hosts) -}}
{{- fail "gateway.ingress.hosts: an ingress needs at least one host" -}}
{{- end -}}
{{- $drain := include "understudy.gatewayGrace" . | int -}}
{{- with $values.gateway.terminationGracePeriodSeconds -}}
{{- if lt (int .) $drain -}}
{{- fail (printf "gateway.terminationGracePeriodSeconds: %d is shorter than what preStopSeconds, drain_notice, drain_timeout and settle_after add up to (%d)" (int .) $drain) -}}
{{- end -}}
{{- end -}}

{{- range $name, $_ := $values.consumer.perTarget -}}
{{- if not (has $name $placement.targets) -}}
{{- fail (printf "consumer.perTarget: %q is none of placement.targets (%s)" $name (join ", " $placement.targets)) -}}
{{- end -}}
{{- end -}}
{{- $names := dict -}}
{{- range $target := $placement.targets -}}
{{- $consumer := include "understudy.consumer" (dict "root" $root "target" $target) | fromJson -}}
{{- $name := include "understudy.consumerName" (dict "root" $root "target" $target) -}}
{{- if hasKey $names $name -}}
{{- fail (printf "placement.targets: %q and %q would have consumers of one name (%s)" $target (get $names $name) $name) -}}
{{- end -}}
{{- $_ := set $names $name $target -}}
{{- if gt (len $name) 52 -}}
{{- fail (printf "placement.targets: the name %s is longer than 52 characters; set fullnameOverride" $name) -}}
{{- end -}}
{{- $keda := $consumer.keda -}}
{{- $partitions := int $kafka.partitions -}}
{{- $max := int (default $kafka.partitions $keda.maxReplicas) -}}
{{- if gt $max $partitions -}}
{{- fail (printf "consumer.keda.maxReplicas (%d, target %s) is above kafka.partitions (%d): more consumers than partitions have nothing to do" $max $target $partitions) -}}
{{- end -}}
{{- if lt (int $keda.minReplicas) 1 -}}
{{- fail (printf "consumer.keda.minReplicas (target %s) must be at least 1: without consumers nobody settles what gateways left open" $target) -}}
{{- end -}}
{{- if gt (int $keda.minReplicas) $max -}}
{{- fail (printf "consumer.keda: minReplicas (%d, target %s) is above maxReplicas (%d)" (int $keda.minReplicas) $target $max) -}}
{{- end -}}
{{- if gt (int $consumer.replicas) $partitions -}}
{{- fail (printf "consumer.replicas (%d, target %s) is above kafka.partitions (%d): more consumers than partitions have nothing to do" (int $consumer.replicas) $target $partitions) -}}
{{- end -}}
{{- $leave := include "understudy.consumerGrace" $root | int -}}
{{- with $consumer.terminationGracePeriodSeconds -}}
{{- if lt (int .) $leave -}}
{{- fail (printf "consumer.terminationGracePeriodSeconds: %d is shorter than what a consumer may take to leave (%d)" (int .) $leave) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- $sasl := $kafka.sasl -}}
{{- $strimzi := $kafka.strimzi -}}
{{- if and $sasl.enabled $strimzi.user.enabled -}}
{{- fail "kafka.sasl and kafka.strimzi.user exclude each other: the KafkaUser brings its own credentials" -}}
{{- end -}}
{{- if $sasl.enabled -}}
{{- if not $sasl.username -}}{{- fail "kafka.sasl.username is missing" -}}{{- end -}}
{{- if and $sasl.password $sasl.existingSecret.name -}}{{- fail "kafka.sasl: password and existingSecret exclude each other" -}}{{- end -}}
{{- if not (or $sasl.password $sasl.existingSecret.name) -}}{{- fail "kafka.sasl: needs existingSecret.name (or password)" -}}{{- end -}}
{{- end -}}
{{- if and (or $kafka.tls.ca.existingSecret $kafka.tls.client.existingSecret) (not $kafka.tls.enabled) -}}
{{- fail "kafka.tls: certificates are named and kafka.tls.enabled is false" -}}
{{- end -}}
{{- if and (or $strimzi.topics.enabled $strimzi.user.enabled) (not $strimzi.cluster) -}}
{{- fail "kafka.strimzi.cluster: name the Kafka object that topics and user belong to" -}}
{{- end -}}
{{- if and $strimzi.user.enabled (eq $strimzi.user.authentication "tls") (not $kafka.tls.enabled) -}}
{{- fail "kafka.strimzi.user: authentication tls needs kafka.tls.enabled" -}}
{{- end -}}
{{- end -}}

{{/* What a gateway may take from the preStop hook to its end, as gateway/src/lib.rs adds it up, without a margin. */}}
{{- define "understudy.gatewayGrace" -}}
{{- $gateway := .Values.config.gateway -}}
{{- $drain := include "understudy.seconds" (dict "of" (default "30s" $gateway.drain_timeout) "key" "config.gateway.drain_timeout") | int -}}
{{- $notice := include "understudy.seconds" (dict "of" (default "1s" $gateway.drain_notice) "key" "config.gateway.drain_notice") | int -}}
{{- $settle := include "understudy.seconds" (dict "of" (default "2s" .Values.config.protocol.settle_after) "key" "config.protocol.settle_after") | int -}}
{{- add (int .Values.gateway.preStopSeconds) $notice (mul 2 $drain) $settle -}}
{{- end -}}

{{/* A consumer ends its bulks within revoke_timeout, and gives up 10 s later (consumer/src/main.rs). */}}
{{- define "understudy.consumerGrace" -}}
{{- add 10 (include "understudy.seconds" (dict "of" (default "5s" .Values.config.consumer.revoke_timeout) "key" "config.consumer.revoke_timeout") | int) -}}
{{- end -}}
