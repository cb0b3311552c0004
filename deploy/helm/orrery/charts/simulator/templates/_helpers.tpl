{{- define "simulator.name" -}}
{{- printf "%s-simulator" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "simulator.selector" -}}
app.kubernetes.io/name: simulator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "simulator.labels" -}}
{{ include "simulator.selector" . }}
app.kubernetes.io/part-of: orrery
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- /* Not the server's: neither its Service nor its Deployment may take a sweep's pods for theirs. */ -}}
{{- define "simulator.sweepSelector" -}}
app.kubernetes.io/name: simulate
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "simulator.sweepLabels" -}}
{{ include "simulator.sweepSelector" . }}
app.kubernetes.io/part-of: orrery
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- /* The Service's names inside the cluster, by commas: the server answers by no other. */ -}}
{{- define "simulator.hosts" -}}
{{- $name := include "simulator.name" . -}}
{{- $namespace := .Release.Namespace -}}
{{- printf "%s,%s.%s,%s.%s.svc,%s.%s.svc.cluster.local" $name $name $namespace $name $namespace $name $namespace -}}
{{- end -}}
