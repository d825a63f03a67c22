{{/* The name of all objects: the release's name, with the chart's if that is not in it already. */}}
{{- define "tagsweep.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains .Chart.Name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "tagsweep.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* The pods of the Deployment only: those of `helm test` must not be taken for workers. */}}
{{- define "tagsweep.workerLabels" -}}
{{ include "tagsweep.selectorLabels" . }}
app.kubernetes.io/component: worker
{{- end }}

{{- define "tagsweep.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "tagsweep.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "tagsweep.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "tagsweep.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "tagsweep.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{- define "tagsweep.port" -}}
{{ splitList ":" .Values.config.admin.listen | last }}
{{- end }}

{{/*
A value in TOML. Without tables and nulls, a JSON value is one; and unlike toToml, toRawJson writes whole numbers whole.
*/}}
{{- define "tagsweep.toml" -}}
{{- if kindIs "map" . }}{ {{ range $index, $key := keys . | sortAlpha }}{{ if $index }}, {{ end }}{{ $key }} = {{ include "tagsweep.toml" (get $ $key) }}{{ end }} }
{{- else if kindIs "slice" . }}[{{ range $index, $item := . }}{{ if $index }}, {{ end }}{{ include "tagsweep.toml" $item }}{{ end }}]
{{- else }}{{ toRawJson . }}
{{- end }}
{{- end }}

{{/*
The configuration file. What names the mounted files is the chart's, unless `config` says otherwise.
*/}}
{{- define "tagsweep.config" -}}
{{- $files := dict "im" dict "rabbitmq" (dict "url_file" "/run/secrets/tagsweep/rabbitmq-url") }}
{{- if not .Values.config.im.user_sig_file }}
{{- $_ := set $files.im "secret_key_file" "/run/secrets/tagsweep/im-secret-key" }}
{{- end }}
{{- if .Values.rabbitmqTls.existingSecret }}
{{- $_ := set $files.rabbitmq "ca_file" "/run/secrets/tagsweep-rabbitmq-tls/ca.crt" }}
{{- end }}
{{- if .Values.rabbitmqTls.clientCertificate }}
{{- $_ := set $files.rabbitmq "cert_file" "/run/secrets/tagsweep-rabbitmq-tls/tls.crt" }}
{{- $_ := set $files.rabbitmq "key_file" "/run/secrets/tagsweep-rabbitmq-tls/tls.key" }}
{{- end }}
{{- range $section, $keys := mergeOverwrite $files (deepCopy .Values.config) }}
[{{ $section }}]
{{- range $key, $value := $keys }}
{{ $key }} = {{ include "tagsweep.toml" $value }}
{{- end }}
{{ end }}
{{- end }}

{{/*
Seconds until Kubernetes kills the pod: shutdown.grace_period ("1m30s") rounded up, and ten for the goodbye to the
broker. A kill before the worker's own end loses nothing, but the next worker does its calls again.
*/}}
{{- define "tagsweep.terminationGracePeriodSeconds" -}}
{{- $milliseconds := dict "h" 3600000 "m" 60000 "s" 1000 "ms" 1 }}
{{- $sum := 0 }}
{{- range $part := regexFindAll "[0-9]+(ms|s|m|h)" .Values.config.shutdown.grace_period -1 }}
{{- $unit := regexFind "[a-z]+" $part }}
{{- /* A leading zero would make the number an octal one. */}}
{{- $number := regexFind "[1-9][0-9]*" $part | int64 }}
{{- $sum = add $sum (mul $number (get $milliseconds $unit)) }}
{{- end }}
{{- add (div (add $sum 999) 1000) 10 }}
{{- end }}

{{/* What the worker and the pod of `helm test` have in common. */}}
{{- define "tagsweep.podSpec" -}}
serviceAccountName: {{ include "tagsweep.serviceAccountName" . }}
automountServiceAccountToken: false
# A Service named tagsweep would put TAGSWEEP_… variables into the environment, where the configuration is.
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  {{- with .Values.podSecurityContext }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: config
    configMap:
      name: {{ include "tagsweep.fullname" . }}
  - name: secrets
    secret:
      secretName: {{ .Values.existingSecret | default (include "tagsweep.fullname" .) }}
      defaultMode: 0440
  {{- with .Values.rabbitmqTls.existingSecret }}
  - name: rabbitmq-tls
    secret:
      secretName: {{ . }}
      defaultMode: 0440
  {{- end }}
{{- end }}

{{- define "tagsweep.container" -}}
name: tagsweep
image: {{ include "tagsweep.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
env:
  # The file says the same, but the image sets this variable, and the environment wins.
  - name: TAGSWEEP__ADMIN__LISTEN
    value: {{ .Values.config.admin.listen | quote }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
volumeMounts:
  # Whole folders: Kubernetes does not renew a single file that is mounted by subPath.
  - name: config
    mountPath: /etc/tagsweep
    readOnly: true
  - name: secrets
    mountPath: /run/secrets/tagsweep
    readOnly: true
  {{- if .Values.rabbitmqTls.existingSecret }}
  - name: rabbitmq-tls
    mountPath: /run/secrets/tagsweep-rabbitmq-tls
    readOnly: true
  {{- end }}
{{- end }}
