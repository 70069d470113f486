{{/* The configuration, made from the values. deploy/understudy.toml explains its keys. */}}

{{/* Where a secret's files are seen: dict "part" "clusters/primary" */}}
{{- define "understudy.secretPath" -}}
/etc/understudy/secrets/{{ .part }}
{{- end -}}

{{- define "understudy.config" -}}
{{- $root := . -}}
{{- $values := .Values -}}
{{- $kafka := $values.kafka -}}
{{- $config := $values.config -}}
# Made by the Helm chart.
{{- with $values.unplacedWrites }}
unplaced_writes = {{ toJson . }}
{{- end }}
{{ range $name, $cluster := $values.clusters }}
{{- $path := printf "/etc/understudy/secrets/clusters/%s" $name }}
{{- $table := dict "urls" $cluster.urls }}
{{- with $cluster.username }}{{ $_ := set $table "username" . }}{{ end }}
{{- if or $cluster.password (get (default (dict) $cluster.existingSecret) "name") }}{{ $_ := set $table "password_file" (printf "%s/password" $path) }}{{ end }}
{{- $tls := default (dict) $cluster.tls }}
{{- if get (default (dict) $tls.ca) "existingSecret" }}{{ $_ := set $table "ca_file" (printf "%s/ca.crt" $path) }}{{ end }}
{{- if get (default (dict) $tls.client) "existingSecret" }}
{{- $_ := set $table "cert_file" (printf "%s/tls.crt" $path) }}
{{- $_ := set $table "key_file" (printf "%s/tls.key" $path) }}
{{- end }}
{{- if $cluster.allowUntestedVersion }}{{ $_ := set $table "allow_untested_version" true }}{{ end }}
{{- with $cluster.indexSettings }}{{ $_ := set $table "index_settings" . }}{{ end }}
{{ include "understudy.table" (dict "path" (printf "clusters.%s" $name) "of" $table) }}
{{ end }}
[[placements]]
name = {{ toJson $values.placement.name }}
indices = {{ toJson $values.placement.indices }}
primary = {{ toJson $values.placement.primary }}
targets = {{ include "understudy.toml" $values.placement.targets }}

{{ $table := dict
  "bootstrap_servers" $kafka.bootstrapServers
  "topic_prefix" $kafka.topicPrefix
  "create_topics" (and $kafka.createTopics (not $kafka.strimzi.topics.enabled))
  "replication_factor" $kafka.replicationFactor
  "min_insync_replicas" (include "understudy.minInsync" . | float64)
  "partitions" $kafka.partitions
  "retention" $kafka.retention
  "max_message_bytes" $kafka.maxMessageBytes
}}
{{- $options := deepCopy $kafka.options }}
{{- $kafkaTls := include "understudy.kafkaTls" . | fromJson }}
{{- $sasl := include "understudy.kafkaSasl" . | fromJson }}
{{- if or $kafkaTls.enabled $sasl.enabled }}
{{- $_ := set $options "security.protocol" (printf "%s%s" (ternary "sasl_" "" $sasl.enabled) (ternary "ssl" "plaintext" $kafkaTls.enabled)) }}
{{- end }}
{{- if $kafkaTls.ca }}{{ $_ := set $options "ssl.ca.location" "/etc/understudy/secrets/kafka/ca.crt" }}{{ end }}
{{- if $kafkaTls.client }}
{{- $_ := set $options "ssl.certificate.location" "/etc/understudy/secrets/kafka/tls.crt" }}
{{- $_ := set $options "ssl.key.location" "/etc/understudy/secrets/kafka/tls.key" }}
{{- end }}
{{- if $sasl.enabled }}{{ $_ := set $options "sasl.mechanism" $sasl.mechanism }}{{ $_ := set $options "sasl.username" $sasl.username }}{{ end }}
{{- $_ := set $table "options" $options }}
{{- include "understudy.table" (dict "path" "kafka" "of" $table) }}

{{ $gateway := mergeOverwrite (deepCopy $config.gateway) (dict "listen" "0.0.0.0:9200" "admin_listen" "0.0.0.0:9310") }}
{{- if $values.gateway.tls.enabled }}
{{- $tls := dict "cert_file" "/etc/understudy/secrets/gateway/tls.crt" "key_file" "/etc/understudy/secrets/gateway/tls.key" }}
{{- if $values.gateway.tls.clientCa.existingSecret }}{{ $_ := set $tls "client_ca_file" "/etc/understudy/secrets/gateway/ca.crt" }}{{ end }}
{{- $_ := set $gateway "tls" $tls }}
{{- end }}
{{- include "understudy.table" (dict "path" "gateway" "of" $gateway) }}

{{ include "understudy.table" (dict "path" "consumer" "of" (mergeOverwrite (deepCopy $config.consumer) (dict "admin_listen" "0.0.0.0:9320"))) }}

{{ $status := deepCopy $config.status }}
{{- if not $status.admin }}
{{- $admin := list (printf "%s-gateway-admin:9310" (include "understudy.fullname" .)) }}
{{- range $values.placement.targets }}{{ $admin = append $admin (printf "%s:9320" (include "understudy.consumerName" (dict "root" $root "target" .))) }}{{ end }}
{{- $_ := set $status "admin" $admin }}
{{- end }}
{{- include "understudy.table" (dict "path" "status" "of" $status) }}

{{ include "understudy.table" (dict "path" "log" "of" $config.log) }}

{{ include "understudy.table" (dict "path" "protocol" "of" $config.protocol) }}
{{- end -}}

{{- define "understudy.minInsync" -}}
{{- if kindIs "invalid" .Values.kafka.minInsyncReplicas -}}
{{- ternary 2 1 (gt (int .Values.kafka.replicationFactor) 1) -}}
{{- else -}}
{{- int .Values.kafka.minInsyncReplicas -}}
{{- end -}}
{{- end -}}

{{/* How Kafka is reached, with what Strimzi's secrets give; JSON. */}}
{{- define "understudy.strimziUser" -}}
{{- default (include "understudy.fullname" .) .Values.kafka.strimzi.user.name -}}
{{- end -}}

{{- define "understudy.kafkaTls" -}}
{{- $kafka := .Values.kafka -}}
{{- $tls := $kafka.tls -}}
{{- $user := $kafka.strimzi.user -}}
{{- $result := dict "enabled" $tls.enabled -}}
{{- if $tls.ca.existingSecret -}}
{{- $_ := set $result "ca" (dict "secret" $tls.ca.existingSecret "key" $tls.ca.key) -}}
{{- else if and $user.enabled $tls.enabled -}}
{{- $_ := set $result "ca" (dict "secret" (printf "%s-cluster-ca-cert" $kafka.strimzi.cluster) "key" "ca.crt") -}}
{{- end -}}
{{- if $tls.client.existingSecret -}}
{{- $_ := set $result "client" (dict "secret" $tls.client.existingSecret "cert" $tls.client.certKey "key" $tls.client.keyKey) -}}
{{- else if and $user.enabled (eq $user.authentication "tls") -}}
{{- $_ := set $result "client" (dict "secret" (include "understudy.strimziUser" .) "cert" "user.crt" "key" "user.key") -}}
{{- end -}}
{{- toJson $result -}}
{{- end -}}

{{- define "understudy.kafkaSasl" -}}
{{- $kafka := .Values.kafka -}}
{{- $sasl := $kafka.sasl -}}
{{- $user := $kafka.strimzi.user -}}
{{- if and $user.enabled (eq $user.authentication "scram-sha-512") -}}
{{- $name := include "understudy.strimziUser" . -}}
{{- dict "enabled" true "mechanism" "SCRAM-SHA-512" "username" $name "secret" $name "key" "password" | toJson -}}
{{- else if $sasl.enabled -}}
{{- $secret := default (printf "%s-kafka" (include "understudy.fullname" .)) $sasl.existingSecret.name -}}
{{- dict "enabled" true "mechanism" $sasl.mechanism "username" $sasl.username "secret" $secret "key" (ternary $sasl.existingSecret.key "password" (ne $sasl.existingSecret.name "")) | toJson -}}
{{- else -}}
{{- dict "enabled" false | toJson -}}
{{- end -}}
{{- end -}}
