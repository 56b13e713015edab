{{/* The labels that a role is selected by. Give (dict "root" $ "role" "gateway"). */}}
{{- define "torpor.selector" -}}
app.kubernetes.io/name: torpor
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end }}

{{- define "torpor.labels" -}}
{{ include "torpor.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: torpor
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* The whole name of an image. Give (dict "root" $ "name" "torpor/gateway"). */}}
{{- define "torpor.image" -}}
{{- $tagged := or (contains "@" .name) (contains ":" (base .name)) -}}
{{- $tag := .root.Values.image.tag | default .root.Chart.AppVersion -}}
{{- with .root.Values.image.registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{ .name }}{{ if not $tagged }}:{{ $tag }}{{ end }}
{{- end }}

{{/* The environment that every role reads. */}}
{{- define "torpor.environment" -}}
- name: TORPOR_NAMESPACE
  value: {{ .Release.Namespace | quote }}
- name: TORPOR_WATCH_NAMESPACE
  value: {{ .Values.watchNamespace | quote }}
- name: TORPOR_POD_NAME
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
- name: TORPOR_POD_IP
  valueFrom: { fieldRef: { fieldPath: status.podIP } }
- name: TORPOR_DOMAIN
  value: {{ .Values.domain | quote }}
- name: TORPOR_CLUSTER_DOMAIN
  value: {{ .Values.clusterDomain | quote }}
- name: TORPOR_INTERNAL_PORT
  value: "8090"
- name: TORPOR_METRICS_PORT
  value: "9090"
- name: TORPOR_LOG_LEVEL
  value: {{ .Values.logLevel | quote }}
{{- end }}

{{/* The fields of a pod that both roles have alike. Give (dict "root" $ "role" … "values" …). */}}
{{- define "torpor.pod" -}}
serviceAccountName: torpor-{{ .role }}
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: { type: RuntimeDefault }
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{ include "torpor.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}

{{- define "torpor.podAnnotations" -}}
{{- $found := dict "kubectl.kubernetes.io/default-container" .role -}}
{{- if .root.Values.metrics.annotations -}}
{{- $_ := merge $found (dict "prometheus.io/scrape" "true" "prometheus.io/port" "9090" "prometheus.io/path" "/metrics") -}}
{{- end -}}
{{- toYaml (mergeOverwrite $found .values.podAnnotations) }}
{{- end }}

{{- define "torpor.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{- define "torpor.probes" -}}
livenessProbe:
  httpGet: { path: /healthz, port: metrics }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: { path: /readyz, port: metrics }
  periodSeconds: 2
  timeoutSeconds: 2
startupProbe:
  httpGet: { path: /healthz, port: metrics }
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: 60
{{- end }}

{{/* Where traces are sent to: the collector that was named, else the dashboard; empty: nowhere. */}}
{{- define "torpor.traces" -}}
{{- if (.Values.tracing).otlpEndpoint -}}
{{ .Values.tracing.otlpEndpoint }}
{{- else if (.Values.dashboard).enabled -}}
http://torpor-dashboard.{{ .Release.Namespace }}.svc:4318
{{- end -}}
{{- end }}

{{/* What tells the roles so. */}}
{{- define "torpor.tracing" -}}
{{- with include "torpor.traces" . }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- with (.Values.tracing).headersSecret }}
{{- if or $.Values.tracing.otlpEndpoint (not ($.Values.dashboard).enabled) }}
# A Secret that is not there must not keep a role from starting.
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom: { secretKeyRef: { name: {{ . }}, key: headers, optional: true } }
{{- end }}
{{- end }}
{{- end }}
