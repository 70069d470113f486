{{/* Names, labels, and the image. */}}

{{- define "understudy.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "understudy.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Of every object. */}}
{{- define "understudy.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{ include "understudy.selector" . }}
app.kubernetes.io/version: {{ default .Chart.AppVersion .Values.image.tag | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The head of an object: dict "root" $ "name" "…" ["component" "…"] ["target" "…"] ["labels" {}] ["annotations" {}] ["namespace" "…"] */}}
{{- define "understudy.metadata" -}}
metadata:
  name: {{ .name }}
  namespace: {{ default .root.Release.Namespace .namespace }}
  labels:
    {{- include "understudy.labels" .root | nindent 4 }}
    {{- with .component }}
    app.kubernetes.io/component: {{ . }}
    {{- end }}
    {{- with .target }}
    understudy/target: {{ . }}
    {{- end }}
    {{- with .labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with merge (dict) (default (dict) .annotations) .root.Values.commonAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "understudy.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "understudy.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "understudy.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Names of objects have no underscores; those of clusters may. */}}
{{- define "understudy.consumerName" -}}
{{- printf "%s-consumer-%s" (include "understudy.fullname" .root) (.target | replace "_" "-") -}}
{{- end -}}

{{/* What counts for the consumers of one target, as JSON. */}}
{{- define "understudy.consumer" -}}
{{- $common := omit .root.Values.consumer "perTarget" -}}
{{- mergeOverwrite (deepCopy $common) (deepCopy (default (dict) (get .root.Values.consumer.perTarget .target))) | toJson -}}
{{- end -}}
