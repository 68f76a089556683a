{{- define "defender-devops-operator.podLabels" -}}
{{- $labels := include "defender-devops-operator.labels" . | fromYaml }}
{{- $podLabels := include "defender-devops-operator.selectorLabels" . | fromYaml }}
{{- if .Values.workloadIdentity.enabled }}
{{- $_ := set $podLabels "azure.workload.identity/use" (ternary "true" "false" .Values.workloadIdentity.webhook) }}
{{- end }}
{{- /* A new version of the chart alone must not restart the pods, so their labels omit it. */ -}}
{{- toYaml (merge $podLabels (deepCopy .Values.podLabels) (omit $labels "helm.sh/chart")) }}
{{- end }}

{{- define "defender-devops-operator.image" -}}
{{- $registry := default "" (default .Values.global.imageRegistry .Values.image.registry) }}
{{- with .Values.image }}
{{- $repository := ternary (printf "%s/%s" (trimSuffix "/" $registry) .repository) .repository (ne $registry "") }}
{{- $tagged := printf "%s:%s" $repository (default $.Chart.AppVersion .tag) }}
{{- ternary (printf "%s@%s" $tagged (toString .digest)) $tagged (not (empty .digest)) }}
{{- end }}
{{- end }}

{{/* Secrets of the registry: those of the values, then those of global.imagePullSecrets, which may be plain names. */}}
{{- define "defender-devops-operator.imagePullSecrets" -}}
{{- $secrets := list }}
{{- range concat (default list .Values.imagePullSecrets) (default list .Values.global.imagePullSecrets) }}
{{- $secrets = append $secrets (ternary (dict "name" .) . (kindIs "string" .)) }}
{{- end }}
{{- with uniq $secrets }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{/*
One probe. Arguments: path, values. Without values, or with enabled: false, there is none. `helm upgrade --reuse-values` brings
values of an older chart, which have no key `enabled`.
*/}}
{{- define "defender-devops-operator.probe" -}}
{{- if and .values (ne "false" (toString (get .values "enabled"))) }}
httpGet: {path: {{ .path }}, port: metrics}
{{- range $key, $value := omit .values "enabled" }}
{{- if not (kindIs "invalid" $value) }}
{{ $key }}: {{ $value }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "defender-devops-operator.pod" -}}
serviceAccountName: {{ include "defender-devops-operator.serviceAccountName" . }}
automountServiceAccountToken: true
enableServiceLinks: false
terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
{{- with default .Values.global.priorityClassName .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with include "defender-devops-operator.imagePullSecrets" . }}
imagePullSecrets:
  {{- . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "defender-devops-operator.securityContext" (list . .Values.podSecurityContext) | nindent 2 }}
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.initContainers }}
initContainers:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: operator
    image: {{ include "defender-devops-operator.image" . | quote }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    {{- with .Values.extraArgs }}
    args:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    securityContext:
      {{- include "defender-devops-operator.securityContext" (list . .Values.securityContext) | nindent 6 }}
    ports:
      - name: metrics
        containerPort: {{ .Values.metrics.port }}
      {{- if .Values.signIn.enabled }}
      - name: sign-in
        containerPort: {{ include "defender-devops-operator.signInPort" . }}
      {{- end }}
    env:
      {{- $env := include "defender-devops-operator.env" . }}
      {{- include "defender-devops-operator.mergedList" (dict "chart" $env "values" .Values.extraEnv "key" "name" "path" "extraEnv") | nindent 6 }}
    {{- with .Values.extraEnvFrom }}
    envFrom:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with include "defender-devops-operator.probe" (dict "path" "/livez" "values" .Values.startupProbe) }}
    startupProbe:
      {{- . | nindent 6 }}
    {{- end }}
    {{- with include "defender-devops-operator.probe" (dict "path" "/livez" "values" .Values.livenessProbe) }}
    livenessProbe:
      {{- . | nindent 6 }}
    {{- end }}
    {{- with include "defender-devops-operator.probe" (dict "path" "/readyz" "values" .Values.readinessProbe) }}
    readinessProbe:
      {{- . | nindent 6 }}
    {{- end }}
    resources:
      {{- toYaml .Values.resources | nindent 6 }}
    volumeMounts:
      {{- $mounts := include "defender-devops-operator.volumeMounts" . }}
      {{- include "defender-devops-operator.mergedList" (dict "chart" $mounts "values" .Values.extraVolumeMounts "key" "mountPath" "path" "extraVolumeMounts") | nindent 6 }}
  {{- range .Values.extraContainers }}
  {{- if eq .name "operator" }}
  {{- fail "extraContainers: the name operator is that of the chart's own container" }}
  {{- end }}
  {{- list . | toYaml | nindent 2 }}
  {{- end }}
volumes:
  {{- $volumes := include "defender-devops-operator.volumes" . }}
  {{- include "defender-devops-operator.mergedList" (dict "chart" $volumes "values" .Values.extraVolumes "key" "name" "path" "extraVolumes") | nindent 2 }}
{{- with merge dict (deepCopy .Values.nodeSelector) (default dict .Values.global.nodeSelector) }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with default .Values.global.affinity .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with default .Values.global.tolerations .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- $selector := dict "labelSelector" (dict "matchLabels" (include "defender-devops-operator.selectorLabels" $ | fromYaml)) }}
  {{- range . }}
  {{- list (merge (deepCopy .) $selector) | toYaml | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "defender-devops-operator.volumeMounts" -}}
# The root filesystem is read-only; Python's libraries expect a directory for temporary files.
- name: tmp
  mountPath: /tmp
{{- if .Values.caBundle.configMapName }}
- name: ca-bundle
  mountPath: /etc/defender-devops/ca
  readOnly: true
{{- end }}
{{- if eq (include "defender-devops-operator.projectsToken" .) "true" }}
- name: azure-token
  mountPath: /var/run/secrets/azure/tokens
  readOnly: true
{{- end }}
{{- end }}

{{- define "defender-devops-operator.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: 16Mi
{{- with .Values.caBundle }}
{{- if .configMapName }}
- name: ca-bundle
  configMap:
    name: {{ .configMapName }}
    items:
      - key: {{ default "ca.crt" .key }}
        path: ca.crt
{{- end }}
{{- end }}
{{- if eq (include "defender-devops-operator.projectsToken" .) "true" }}
- name: azure-token
  projected:
    sources:
      - serviceAccountToken:
          audience: api://AzureADTokenExchange
          expirationSeconds: 3600
          path: azure-identity-token
{{- end }}
{{- end }}

{{/* "true" if the chart itself projects the token for Entra ID, instead of the webhook. */}}
{{- define "defender-devops-operator.projectsToken" -}}
{{- and .Values.workloadIdentity.enabled (not .Values.workloadIdentity.webhook) }}
{{- end }}
