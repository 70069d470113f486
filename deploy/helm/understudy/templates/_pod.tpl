{{/* What pods of gateways, consumers and tests have in common. */}}

{{/* Files for every container: the configuration, and secrets by files of fixed names. */}}
{{- define "understudy.volumes" -}}
{{- $root := . -}}
- name: config
  configMap:
    name: {{ include "understudy.fullname" . }}
    items: [{key: understudy.toml, path: understudy.toml}]
{{- range $name, $cluster := .Values.clusters }}
{{- $sources := include "understudy.clusterSources" (dict "root" $root "name" $name "cluster" $cluster) | fromJsonArray }}
{{- if $sources }}
- name: {{ include "understudy.volumeName" $name }}
  projected:
    defaultMode: 0440
    sources:
      {{- toYaml $sources | nindent 6 }}
{{- end }}
{{- end }}
{{- $kafka := include "understudy.kafkaTls" . | fromJson }}
{{- if or $kafka.ca $kafka.client }}
- name: kafka
  projected:
    defaultMode: 0440
    sources:
      {{- with $kafka.ca }}
      - secret: {name: {{ .secret }}, items: [{key: {{ .key }}, path: ca.crt}]}
      {{- end }}
      {{- with $kafka.client }}
      - secret: {name: {{ .secret }}, items: [{key: {{ .cert }}, path: tls.crt}, {key: {{ .key }}, path: tls.key}]}
      {{- end }}
{{- end }}
{{- with .Values.gateway.tls }}
{{- if .enabled }}
- name: gateway
  projected:
    defaultMode: 0440
    sources:
      - secret: {name: {{ .existingSecret }}, items: [{key: {{ .certKey }}, path: tls.crt}, {key: {{ .keyKey }}, path: tls.key}]}
      {{- if .clientCa.existingSecret }}
      - secret: {name: {{ .clientCa.existingSecret }}, items: [{key: {{ .clientCa.key }}, path: ca.crt}]}
      {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "understudy.volumeName" -}}
cluster-{{ . | replace "_" "-" }}
{{- end -}}

{{- define "understudy.clusterSources" -}}
{{- $cluster := .cluster -}}
{{- $tls := default (dict) $cluster.tls -}}
{{- $existing := default (dict) $cluster.existingSecret -}}
{{- $sources := list -}}
{{- if $existing.name -}}
{{- $item := dict "key" (default "password" $existing.key) "path" "password" -}}
{{- $sources = append $sources (dict "secret" (dict "name" $existing.name "items" (list $item))) -}}
{{- else if $cluster.password -}}
{{- $item := dict "key" .name "path" "password" -}}
{{- $sources = append $sources (dict "secret" (dict "name" (printf "%s-clusters" (include "understudy.fullname" .root)) "items" (list $item))) -}}
{{- end -}}
{{- with $tls.ca -}}
{{- if .existingSecret -}}
{{- $item := dict "key" (default "ca.crt" .key) "path" "ca.crt" -}}
{{- $sources = append $sources (dict "secret" (dict "name" .existingSecret "items" (list $item))) -}}
{{- end -}}
{{- end -}}
{{- with $tls.client -}}
{{- if .existingSecret -}}
{{- $cert := dict "key" (default "tls.crt" .certKey) "path" "tls.crt" -}}
{{- $key := dict "key" (default "tls.key" .keyKey) "path" "tls.key" -}}
{{- $sources = append $sources (dict "secret" (dict "name" .existingSecret "items" (list $cert $key))) -}}
{{- end -}}
{{- end -}}
{{- toJson $sources -}}
{{- end -}}

{{- define "understudy.volumeMounts" -}}
{{- $root := . -}}
- {name: config, mountPath: /etc/understudy/config, readOnly: true}
{{- range $name, $cluster := .Values.clusters }}
{{- if include "understudy.clusterSources" (dict "root" $root "name" $name "cluster" $cluster) | fromJsonArray }}
- {name: {{ include "understudy.volumeName" $name }}, mountPath: /etc/understudy/secrets/clusters/{{ $name }}, readOnly: true}
{{- end }}
{{- end }}
{{- $kafka := include "understudy.kafkaTls" . | fromJson }}
{{- if or $kafka.ca $kafka.client }}
- {name: kafka, mountPath: /etc/understudy/secrets/kafka, readOnly: true}
{{- end }}
{{- if .Values.gateway.tls.enabled }}
- {name: gateway, mountPath: /etc/understudy/secrets/gateway, readOnly: true}
{{- end }}
{{- end -}}

{{/* The password of Kafka comes as a variable: the file of librdkafka has no key for it. */}}
{{- define "understudy.env" -}}
{{- $sasl := include "understudy.kafkaSasl" . | fromJson }}
{{- if $sasl.enabled -}}
- name: UNDERSTUDY_KAFKA__OPTIONS__SASL_USERNAME
  value: {{ $sasl.username | quote }}
- name: UNDERSTUDY_KAFKA__OPTIONS__SASL_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ $sasl.secret }}, key: {{ $sasl.key }}}}
{{- end -}}
{{- end -}}

{{/* dict "root" $ "of" values of the part "component" "gateway" ["target" "backup"] */}}
{{- define "understudy.podMetadata" -}}
metadata:
  labels:
    {{- include "understudy.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
    {{- with .target }}
    understudy/target: {{ . }}
    {{- end }}
    {{- with .of.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # A change of the configuration, or of a secret of the chart, starts the pods anew, one after another.
    checksum/config: {{ include "understudy.config" .root | sha256sum }}
    checksum/secrets: {{ include "understudy.secrets" .root | sha256sum }}
    {{- with merge (dict) .of.podAnnotations .root.Values.commonAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{- define "understudy.podSpec" -}}
serviceAccountName: {{ include "understudy.serviceAccount" .root }}
automountServiceAccountToken: false
# Variables of a service named understudy-gateway would count as keys of the configuration.
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with .of.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .of.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if kindIs "slice" .of.topologySpreadConstraints }}
{{- with .of.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- else }}
topologySpreadConstraints:
  {{- $this := . }}
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "understudy.partSelector" $this | nindent 8 }}
  {{- end }}
{{- end }}
volumes:
  {{- include "understudy.volumes" .root | nindent 2 }}
{{- end -}}

{{- define "understudy.partSelector" -}}
{{ include "understudy.selector" .root }}
app.kubernetes.io/component: {{ .component }}
{{- with .target }}
understudy/target: {{ . }}
{{- end }}
{{- end -}}

{{/* Probes of an admin port. A part that waits for Kafka or a cluster is alive. */}}
{{- define "understudy.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: admin}
  periodSeconds: 2
  failureThreshold: 30
livenessProbe:
  httpGet: {path: /livez, port: admin}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
{{- end -}}
