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
{{- with .Values.image }}
{{- $repository := ternary (printf "%s/%s" (trimSuffix "/" .registry) .repository) .repository (ne .registry "") }}
{{- $tagged := printf "%s:%s" $repository (default $.Chart.AppVersion .tag) }}
{{- ternary (printf "%s@%s" $tagged .digest) $tagged (ne .digest "") }}
{{- end }}
{{- end }}

{{- define "defender-devops-operator.pod" -}}
serviceAccountName: {{ include "defender-devops-operator.serviceAccountName" . }}
automountServiceAccountToken: true
enableServiceLinks: false
terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
containers:
  - name: operator
    image: {{ include "defender-devops-operator.image" . | quote }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    securityContext:
      {{- toYaml .Values.securityContext | nindent 6 }}
    ports:
      - name: metrics
        containerPort: {{ .Values.metrics.port }}
      {{- if .Values.signIn.enabled }}
      - name: sign-in
        containerPort: {{ include "defender-devops-operator.signInPort" . }}
      {{- end }}
    env:
      {{- include "defender-devops-operator.env" . | nindent 6 }}
    {{- with .Values.extraEnvFrom }}
    envFrom:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    startupProbe:
      httpGet: {path: /livez, port: metrics}
      {{- toYaml .Values.startupProbe | nindent 6 }}
    livenessProbe:
      httpGet: {path: /livez, port: metrics}
      {{- toYaml .Values.livenessProbe | nindent 6 }}
    readinessProbe:
      httpGet: {path: /readyz, port: metrics}
      {{- toYaml .Values.readinessProbe | nindent 6 }}
    resources:
      {{- toYaml .Values.resources | nindent 6 }}
    volumeMounts:
      {{- include "defender-devops-operator.volumeMounts" . | nindent 6 }}
volumes:
  {{- include "defender-devops-operator.volumes" . | nindent 2 }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
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
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
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
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* "true" if the chart itself projects the token for Entra ID, instead of the webhook. */}}
{{- define "defender-devops-operator.projectsToken" -}}
{{- and .Values.workloadIdentity.enabled (not .Values.workloadIdentity.webhook) }}
{{- end }}
