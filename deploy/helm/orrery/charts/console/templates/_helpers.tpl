{{- define "console.name" -}}
{{- printf "%s-console" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "console.selector" -}}
app.kubernetes.io/name: console
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "console.labels" -}}
{{ include "console.selector" . }}
app.kubernetes.io/part-of: orrery
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- /* The Service's names inside the cluster, by commas: the server answers by no other. */ -}}
{{- define "console.hosts" -}}
{{- $name := include "console.name" . -}}
{{- $namespace := .Release.Namespace -}}
{{- printf "%s,%s.%s,%s.%s.svc,%s.%s.svc.cluster.local" $name $name $namespace $name $namespace $name $namespace -}}
{{- end -}}
