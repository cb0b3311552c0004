{{- define "observer.name" -}}
{{- printf "%s-observer" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "observer.selector" -}}
app.kubernetes.io/name: observer
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "observer.labels" -}}
{{ include "observer.selector" . }}
app.kubernetes.io/part-of: orrery
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- /* The Service's names inside the cluster, by commas: the server answers by no other. */ -}}
{{- define "observer.hosts" -}}
{{- $name := include "observer.name" . -}}
{{- $namespace := .Release.Namespace -}}
{{- printf "%s,%s.%s,%s.%s.svc,%s.%s.svc.cluster.local" $name $name $namespace $name $namespace $name $namespace -}}
{{- end -}}
