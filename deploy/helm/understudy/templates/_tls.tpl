{{/*
`tls.enabled`: fills in what the values leave open, so that everything else reads them as if they had been written out. To be
included first in every file that reads gateway.tls, clusters or kafka; to do it twice changes nothing.
*/}}
{{- define "understudy.tls" -}}
{{- $tls := .Values.tls -}}
{{- if $tls.enabled -}}
{{- $name := include "understudy.fullname" . -}}
{{- $ca := dict "existingSecret" (default (printf "%s-ca" $name) $tls.ca.existingSecret) "key" $tls.ca.key -}}

{{- $gateway := .Values.gateway.tls -}}
{{- $_ := set $gateway "enabled" true -}}
{{- $_ := set $gateway "existingSecret" (default (printf "%s-gateway-tls" $name) $gateway.existingSecret) -}}

{{- range $cluster, $of := .Values.clusters -}}
{{- $_ := set $of "username" (default "understudy" $of.username) -}}
{{- $existing := default (dict) $of.existingSecret -}}
{{- if not (or $of.password $existing.name) -}}
{{- $secret := printf "%s-cluster-%s" $name (replace "_" "-" $cluster) -}}
{{- $_ := set $of "existingSecret" (dict "name" $secret "key" (default "password" $existing.key)) -}}
{{- end -}}
{{- $own := default (dict) $of.tls -}}
{{- if not (or $tls.systemRoots (get (default (dict) $own.ca) "existingSecret")) -}}
{{- $_ := set $own "ca" $ca -}}
{{- end -}}
{{- $_ := set $of "tls" $own -}}
{{- end -}}

{{- $kafka := .Values.kafka -}}
{{- $_ := set $kafka.tls "enabled" true -}}
{{- if not $kafka.strimzi.user.enabled -}}
{{- if not (or $tls.systemRoots $kafka.tls.ca.existingSecret) -}}
{{- $_ := set $kafka.tls "ca" $ca -}}
{{- end -}}
{{- /* A certificate of the client says who it is as well as a password does. */ -}}
{{- if not $kafka.tls.client.existingSecret -}}
{{- $sasl := $kafka.sasl -}}
{{- $_ := set $sasl "enabled" true -}}
{{- $_ := set $sasl "username" (default "understudy" $sasl.username) -}}
{{- if not (or $sasl.password $sasl.existingSecret.name) -}}
{{- $_ := set $sasl.existingSecret "name" (printf "%s-kafka" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
