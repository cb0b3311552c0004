{{- define "orb.name" -}}
{{- printf "%s-orb" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "orb.selector" -}}
app.kubernetes.io/name: orb
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "orb.labels" -}}
{{ include "orb.selector" . }}
app.kubernetes.io/part-of: orrery
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- /* The Service's names inside the cluster, by commas: the server answers by no other. */ -}}
{{- define "orb.hosts" -}}
{{- $name := include "orb.name" . -}}
{{- $namespace := .Release.Namespace -}}
{{- printf "%s,%s.%s,%s.%s.svc,%s.%s.svc.cluster.local" $name $name $namespace $name $namespace $name $namespace -}}
{{- end -}}

{{- define "orb.secretEnv" -}}
- name: {{ .name }}
  valueFrom: { secretKeyRef: { name: {{ .secret | quote }}, key: {{ .key }} } }
{{- end -}}

{{- /* A pod's template: the same with a volume and with a database. */ -}}
{{- define "orb.pod" -}}
metadata:
  labels:
    {{- include "orb.labels" . | nindent 4 }}
spec:
  automountServiceAccountToken: false
  # It serves on until the cluster sends nothing more, answers what is under way, gives its signups back.
  terminationGracePeriodSeconds: {{ add 15 .Values.shutdownDelaySeconds }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    fsGroup: 65532
    seccompProfile: { type: RuntimeDefault }
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "orb.selector" . | nindent 10 }}
  containers:
    - name: orb-server
      image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        - --orb-api-port={{ .Values.port }}
        - --allowed-host={{ include "orb.hosts" . }}
        {{- range .Values.allowedHosts }}
        - --allowed-host={{ . }}
        {{- end }}
        {{- range .Values.allowedOrigins }}
        - --allowed-origin={{ . }}
        {{- end }}
        - --signup-workers={{ int64 .Values.signupWorkers }}
        - --max-pending-signups={{ int64 .Values.maxPendingSignups }}
        {{- if .Values.stores.databaseUrlSecret }}
        - --s3-endpoint={{ .Values.stores.s3.endpoint }}
        - --s3-bucket={{ .Values.stores.s3.bucket }}
        {{- end }}
        {{- if .Values.auth.issuer }}
        - --oauth-issuer={{ .Values.auth.issuer }}
        - --oauth-audience={{ .Values.auth.audience }}
        {{- end }}
        - --shutdown-delay={{ int64 .Values.shutdownDelaySeconds }}s
        - --log-format=json
      env:
        {{- if .Values.auth.issuer }}
        # Its image is for who is alone on its network.
        - { name: ORB_SERVER_ALLOW_REMOTE_WITHOUT_AUTH, value: "false" }
        {{- end }}
        {{- if .Values.telemetry.endpoint }}
        - name: OTEL_EXPORTER_OTLP_ENDPOINT
          value: {{ .Values.telemetry.endpoint | quote }}
        {{- else }}
        - name: OTEL_SDK_DISABLED
          value: "true"
        {{- end }}
        {{- with .Values.stores.databaseUrlSecret }}
        {{- include "orb.secretEnv" (dict "name" "ORB_SERVER_DATABASE_URL" "secret" . "key" "url") | nindent 8 }}
        {{- end }}
        {{- if .Values.stores.databaseUrlSecret }}
        {{- with .Values.stores.s3.credentialsSecret }}
        {{- include "orb.secretEnv" (dict "name" "ORB_SERVER_S3_ACCESS_KEY_ID" "secret" . "key" "accessKeyId") | nindent 8 }}
        {{- include "orb.secretEnv" (dict "name" "ORB_SERVER_S3_SECRET_ACCESS_KEY" "secret" . "key" "secretAccessKey") | nindent 8 }}
        {{- end }}
        {{- end }}
        {{- with .Values.slack.webhookSecret }}
        {{- include "orb.secretEnv" (dict "name" "ORB_SERVER_SLACK_WEBHOOK_URL" "secret" . "key" "url") | nindent 8 }}
        {{- end }}
      ports:
        - { name: http, containerPort: {{ .Values.port }}, protocol: TCP }
      startupProbe:
        httpGet: { path: /readyz, port: http }
        periodSeconds: 2
        # Migrations, and a million tokens to read.
        failureThreshold: 60
      readinessProbe:
        httpGet: { path: /readyz, port: http }
        periodSeconds: 5
      livenessProbe:
        httpGet: { path: /livez, port: http }
        periodSeconds: 10
      resources: {{ toJson .Values.resources }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: { drop: [ALL] }
      volumeMounts:
        - { name: data, mountPath: /data }
        - { name: scratch, mountPath: /tmp }
  volumes:
    - name: scratch
      emptyDir: { sizeLimit: 64Mi }
    {{- if .Values.stores.databaseUrlSecret }}
    # The log of refused calls; what counts is in the database and in S3.
    - name: data
      emptyDir: { sizeLimit: 256Mi }
    {{- end }}
{{- end -}}
