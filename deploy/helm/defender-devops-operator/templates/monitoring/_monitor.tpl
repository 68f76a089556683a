{{/*
A ServiceMonitor or PodMonitor. Arguments: context, kind, value (its key below metrics), endpoints (its field of endpoints),
selector (labels besides those of the pods).
*/}}
{{- define "defender-devops-operator.monitor" -}}
{{- $context := .context }}
{{- $arguments := . }}
{{- with get .context.Values.metrics .value }}
{{- $api := printf "monitoring.coreos.com/v1/%s" $arguments.kind }}
{{- if and .enabled (include "defender-devops-operator.renders" (dict "context" $context "mode" .renderMode "api" $api "value" (printf "metrics.%s" $arguments.value))) }}
apiVersion: monitoring.coreos.com/v1
kind: {{ $arguments.kind }}
metadata:
  name: {{ include "defender-devops-operator.fullname" $context }}
  namespace: {{ default (include "defender-devops-operator.namespace" $context) .namespace }}
  labels:
    {{- include "defender-devops-operator.labelsWith" (list $context .labels) | nindent 4 }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  namespaceSelector:
    matchNames: [{{ include "defender-devops-operator.namespace" $context }}]
  selector:
    matchLabels:
      {{- merge dict (include "defender-devops-operator.selectorLabels" $context | fromYaml) $arguments.selector | toYaml | nindent 6 }}
  {{ $arguments.endpoints }}:
    - port: metrics
      path: /metrics
      {{- with .interval }}
      interval: {{ . }}
      {{- end }}
      {{- with .scrapeTimeout }}
      scrapeTimeout: {{ . }}
      {{- end }}
      # The labels namespace and name of the series are those of the connector, not of the pod.
      honorLabels: true
      {{- with .relabelings }}
      relabelings:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .metricRelabelings }}
      metricRelabelings:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end }}
{{- end }}
{{- end }}
