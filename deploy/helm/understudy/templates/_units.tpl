{{/* Durations and sizes as the product writes them. */}}

{{/* Whole seconds, rounded up: dict "of" "500ms" "key" "config.gateway.drain_notice" */}}
{{- define "understudy.seconds" -}}
{{- $text := toString .of -}}
{{- if not (regexMatch "^[0-9]+(ms|s|m|h|d)$" $text) -}}
{{- fail (printf "%s: %q is no duration such as \"500ms\", \"30s\", \"5m\", \"1h\" or \"7d\"" .key $text) -}}
{{- end -}}
{{- $number := regexFind "^[0-9]+" $text | int64 -}}
{{- $unit := regexFind "[a-z]+$" $text -}}
{{- if eq $unit "ms" -}}
{{- div (add $number 999) 1000 -}}
{{- else -}}
{{- mul $number (get (dict "s" 1 "m" 60 "h" 3600 "d" 86400) $unit) -}}
{{- end -}}
{{- end -}}

{{/* Bytes: dict "of" "32MiB" "key" "kafka.maxMessageBytes" */}}
{{- define "understudy.bytes" -}}
{{- $text := toString .of -}}
{{- if kindIs "float64" .of -}}{{- $text = toString (int64 .of) -}}{{- end -}}
{{- if not (regexMatch "^[0-9]+(KiB|MiB|GiB)?$" $text) -}}
{{- fail (printf "%s: %q is no size such as 1048576, \"64KiB\", \"100MiB\" or \"1GiB\"" .key $text) -}}
{{- end -}}
{{- $number := regexFind "^[0-9]+" $text | int64 -}}
{{- $unit := regexFind "[A-Za-z]+$" $text -}}
{{- mul $number (get (dict "" 1 "KiB" 1024 "MiB" 1048576 "GiB" 1073741824) $unit) -}}
{{- end -}}

{{/* A value of TOML. */}}
{{- define "understudy.toml" -}}
{{- if kindIs "string" . -}}
{{- toJson . -}}
{{- else if kindIs "float64" . -}}
{{- if eq (floor .) . }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- else if kindIs "slice" . -}}
[{{ range $i, $one := . }}{{ if $i }}, {{ end }}{{ include "understudy.toml" $one }}{{ end }}]
{{- else -}}
{{- toString . -}}
{{- end -}}
{{- end -}}

{{/* Lines of a table; tables in it follow it: dict "path" "gateway" "of" {…} */}}
{{- define "understudy.table" -}}
{{- $path := .path -}}
[{{ $path }}]
{{- range $key, $value := .of }}
{{- if not (or (kindIs "map" $value) (kindIs "invalid" $value)) }}
{{ include "understudy.key" $key }} = {{ include "understudy.toml" $value }}
{{- end }}
{{- end }}
{{- range $key, $value := .of }}
{{- if and (kindIs "map" $value) $value }}

{{ include "understudy.table" (dict "path" (printf "%s.%s" $path (include "understudy.key" $key)) "of" $value) }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "understudy.key" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end -}}
