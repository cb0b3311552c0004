{{- define "pingpong.name" -}}
{{- printf "%s-pingpong" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "pingpong.selector" -}}
app.kubernetes.io/name: pingpong-server
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "pingpong.labels" -}}
{{ include "pingpong.selector" . }}
app.kubernetes.io/part-of: orrery
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- /* The canary's share of the pods, rounded; at least one when it has any weight. */ -}}
{{- define "pingpong.canaryReplicas" -}}
{{- if eq (int .Values.canary.weight) 0 -}}
0
{{- else -}}
{{- max 1 (div (add (mul (int .Values.replicas) (int .Values.canary.weight)) 50) 100) -}}
{{- end -}}
{{- end -}}
