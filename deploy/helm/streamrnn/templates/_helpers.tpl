{{- /* At most 52 characters: the pods have it in a label, with 11 more, and a label has 63. */ -}}
{{- define "streamrnn.name" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $long := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $long .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- end }}

{{- define "streamrnn.serviceAccount" -}}
{{- if .Values.serviceAccount.name }}{{ .Values.serviceAccount.name }}{{ else if .Values.serviceAccount.create }}{{ include "streamrnn.name" . }}{{ else }}default{{ end -}}
{{- end }}

{{- define "streamrnn.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "streamrnn.ownLabels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: forecaster
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- /* Of an object. The labels that select pods are always the chart's. */ -}}
{{- define "streamrnn.labels" -}}
{{- $selector := include "streamrnn.selector" . | fromYaml -}}
{{- merge $selector .Values.commonLabels (include "streamrnn.ownLabels" . | fromYaml) | toYaml -}}
{{- end }}

{{- define "streamrnn.podLabels" -}}
{{- $selector := include "streamrnn.selector" . | fromYaml -}}
{{- merge $selector .Values.podLabels (include "streamrnn.labels" . | fromYaml) | toYaml -}}
{{- end }}

{{- define "streamrnn.image" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ $tag }}{{ end }}
{{- end }}

{{- define "streamrnn.workers" -}}
{{ dig "workers" 1 .Values.config }}
{{- end }}

{{- define "streamrnn.metricsPort" -}}
{{ dig "metrics" "port" 9108 .Values.config }}
{{- end }}

{{- /* "true" if the page is enabled, else empty. */ -}}
{{- define "streamrnn.page" -}}
{{- if dig "page" "enabled" false .Values.config }}true{{ end -}}
{{- end }}

{{- define "streamrnn.pagePort" -}}
{{ dig "page" "port" 8080 .Values.config }}
{{- end }}

{{- /* "true" if the page has a Service, else empty. */ -}}
{{- define "streamrnn.pageService" -}}
{{- if and (include "streamrnn.page" .) .Values.page.tokenSecret }}true{{ end -}}
{{- end }}

{{- /* What JSON Schema cannot say about the values. */ -}}
{{- define "streamrnn.checks" -}}
{{- if and .Values.page.tokenSecret (not (include "streamrnn.page" .)) -}}
{{- fail "page.tokenSecret is set, and the page is off: set config.page.enabled to true" -}}
{{- end -}}
{{- if and .Values.page.ingress.host (not .Values.page.tokenSecret) -}}
{{- fail "page.ingress.host needs page.tokenSecret: without a token the page listens inside the pod only" -}}
{{- end -}}
{{- $first := include "streamrnn.metricsPort" . | int -}}
{{- $port := include "streamrnn.pagePort" . | int -}}
{{- if and (include "streamrnn.page" .) (ge $port $first) (lt $port (add $first (include "streamrnn.workers" .) | int)) -}}
{{- fail (printf "config.page.port %d is a port of the metrics, which take config.workers ports from config.metrics.port on" $port) -}}
{{- end -}}
{{- if .Values.autoscaling.enabled -}}
{{- if not .Values.autoscaling.maxReplicas -}}
{{- fail "autoscaling.maxReplicas is missing: set it to the number of partitions of the input topic, or fewer" -}}
{{- end -}}
{{- if not .Values.monitoring.serviceMonitor.enabled -}}
{{- fail "autoscaling.enabled needs the daemon's metrics: set monitoring.serviceMonitor.enabled to true" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- /* Mebibytes of a size such as 512MiB, rounded up. */ -}}
{{- define "streamrnn.mebibytes" -}}
{{- $number := regexFind "^[0-9.]+" . | float64 -}}
{{- $unit := regexFind "[A-Za-z]+$" . -}}
{{- $factor := get (dict "GiB" 1024 "MiB" 1) $unit -}}
{{- if $factor }}{{ mulf $number $factor | ceil | int64 }}{{ else }}{{ divf $number (get (dict "KiB" 1024 "B" 1048576) $unit) | ceil | int64 }}{{ end -}}
{{- end }}

{{- /*
Resources: a process takes 1 GiB with few series (docs/how-to/sizing.md: 0.76 to 0.85 GB; under full load up to 1.04 GB),
and 1.3 times the state of each further one. The limit leaves room for the series of another pod that is down, and for
a batch of input. A loop is one core, and the client of Kafka some of another; a limit would only slow it down.
*/ -}}
{{- define "streamrnn.resources" -}}
{{- if .Values.resources -}}
{{ toYaml .Values.resources }}
{{- else -}}
{{- $lean := eq (dig "model" "variant" "full" .Values.config) "lean" -}}
{{- $state := .Values.sizing.stateBytes | default (ternary 1792 33792 $lean) -}}
{{- $pods := ternary .Values.autoscaling.minReplicas .Values.replicas .Values.autoscaling.enabled | int64 -}}
{{- $workers := include "streamrnn.workers" . | int64 -}}
{{- $page := 0 -}}
{{- if include "streamrnn.page" . -}}
{{- $page = add 256 (include "streamrnn.mebibytes" (dig "page" "memory" "512MiB" .Values.config)) -}}
{{- end -}}
{{- $series := divf (mulf .Values.sizing.series $state 1.3) 1048576 -}}
{{- $base := add (mul 1024 $workers) $page -}}
{{- $usual := divf $series $pods | ceil | int64 -}}
{{- $most := divf $series (max 1 (sub $pods 1)) | ceil | int64 -}}
requests:
  cpu: {{ add 250 (mul 1000 $workers) }}m
  memory: {{ add $base $usual }}Mi
limits:
  memory: {{ add $base $most 512 }}Mi
{{- end -}}
{{- end }}

{{- define "streamrnn.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
