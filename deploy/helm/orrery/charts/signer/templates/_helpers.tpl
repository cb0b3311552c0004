{{- /* Everything below is given (dict "root" $ "part" "api") and the like. */ -}}
{{- define "signer.name" -}}
{{- printf "%s-signer" .root.Release.Name | trunc 45 | trimSuffix "-" }}-{{ .part }}
{{- end -}}

{{- define "signer.selector" -}}
app.kubernetes.io/name: signer-{{ .part }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end -}}

{{- define "signer.labels" -}}
{{ include "signer.selector" . }}
app.kubernetes.io/part-of: orrery
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end -}}

{{- /* A Service's names inside the cluster, by commas: the programs answer by no other. */ -}}
{{- define "signer.hosts" -}}
{{- $name := include "signer.name" . -}}
{{- $namespace := .root.Release.Namespace -}}
{{- printf "%s,%s.%s,%s.%s.svc,%s.%s.svc.cluster.local" $name $name $namespace $name $namespace $name $namespace -}}
{{- end -}}

{{- /* The flags that both programs have. */ -}}
{{- define "signer.args" -}}
{{- $values := .root.Values -}}
{{- $part := index $values .part -}}
- --port={{ $part.port }}
- --allowed-host={{ include "signer.hosts" . }}
{{- range $part.allowedHosts }}
- --allowed-host={{ . }}
{{- end }}
- --kafka-brokers={{ join "," $values.kafka.brokers }}
- --req-topic={{ $values.kafka.requestTopic }}
{{- if $values.kafka.tls }}
- --kafka-tls
{{- end }}
{{- if $values.kafka.sasl.mechanism }}
- --kafka-sasl-mechanism={{ $values.kafka.sasl.mechanism }}
- --kafka-sasl-username={{ $values.kafka.sasl.username }}
- --kafka-sasl-password-file=/kafka-password/password
{{- end }}
{{- if $values.auth.issuer }}
- --auth-issuer={{ $values.auth.issuer }}
- --auth-audience={{ $values.auth.audience }}
{{- end }}
- --log-format=json
{{- end -}}

{{- define "signer.env" -}}
{{- if .root.Values.auth.issuer -}}
# Its image is for who is alone on its network.
- name: {{ eq .part "api" | ternary "SIGNER_REST_API" "SIGNER_SERVICE" }}_ALLOW_REMOTE_WITHOUT_AUTH
  value: "false"
{{ end -}}
{{- if .root.Values.telemetry.endpoint -}}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .root.Values.telemetry.endpoint | quote }}
{{- else -}}
- name: OTEL_SDK_DISABLED
  value: "true"
{{- end }}
{{- end -}}

{{- define "signer.probes" -}}
startupProbe:
  httpGet: { path: /readyz, port: http }
  periodSeconds: 2
  # Kafka is waited for as long as this.
  failureThreshold: 60
readinessProbe:
  httpGet: { path: /readyz, port: http }
  periodSeconds: 5
livenessProbe:
  httpGet: { path: /livez, port: http }
  periodSeconds: 10
{{- end -}}
