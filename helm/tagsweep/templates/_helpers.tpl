{{/* The name of all objects: the release's name, with the chart's if that is not in it already. */}}
{{- define "tagsweep.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "tagsweep.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "tagsweep.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "tagsweep.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
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
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
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

{{/* The folder of a secret that has a Secret of its own, by its name in `secrets`. */}}
{{- define "tagsweep.secretFolder" -}}
/run/secrets/tagsweep-{{ . | kebabcase }}
{{- end }}

{{/* The file of a secret: in its own Secret, or in the one that holds them all. */}}
{{- define "tagsweep.secretFile" -}}
{{- $secret := get .root.Values.secrets .secret -}}
{{ ternary (include "tagsweep.secretFolder" .secret) "/run/secrets/tagsweep" (not (empty $secret.name)) }}/{{ $secret.key }}
{{- end }}

{{/* Whether the broker is named by its host, not by URLs in a Secret. */}}
{{- define "tagsweep.brokerByHost" -}}
{{- if or .Values.rabbitmq.host .Values.rabbitmq.defaultUserSecret }}true{{ end }}
{{- end }}

{{/* Kubernetes puts the operator's host and port into the variable. */}}
{{- define "tagsweep.brokerUrl" -}}
{{- with .Values.rabbitmq }}
{{- $port := .port | default (ternary "$(RABBITMQ_PORT)" (ternary "5671" "5672" .tls) (not (empty .defaultUserSecret))) }}
{{- ternary "amqps" "amqp" .tls }}://{{ .host | default "$(RABBITMQ_HOST)" }}:{{ $port }}/{{ .vhost | urlquery | replace "+" "%20" }}
{{- end }}
{{- end }}

{{/*
The configuration file. What names the mounted files is the chart's, unless `config` says otherwise.
*/}}
{{- define "tagsweep.config" -}}
{{- $file := dict "root" . }}
{{- $im := dict }}
{{- $rabbitmq := dict }}
{{- $admin := dict }}
{{- if .Values.secrets.imUserSig.name }}
{{- $_ := set $im "user_sig_file" (include "tagsweep.secretFile" (set $file "secret" "imUserSig")) }}
{{- else if not .Values.config.im.user_sig_file }}
{{- $_ := set $im "secret_key_file" (include "tagsweep.secretFile" (set $file "secret" "imSecretKey")) }}
{{- end }}
{{- if .Values.secrets.imProxyUrl.name }}
{{- $_ := set $im "proxy_url_file" (include "tagsweep.secretFile" (set $file "secret" "imProxyUrl")) }}
{{- end }}
{{- if not (include "tagsweep.brokerByHost" .) }}
{{- $_ := set $rabbitmq "url_file" (include "tagsweep.secretFile" (set $file "secret" "rabbitmqUrl")) }}
{{- end }}
{{- range $key, $secret := dict "username_file" "rabbitmqUsername" "password_file" "rabbitmqPassword" }}
{{- if (get $.Values.secrets $secret).name }}
{{- $_ := set $rabbitmq $key (include "tagsweep.secretFile" (set $file "secret" $secret)) }}
{{- else if $.Values.rabbitmq.defaultUserSecret }}
{{- $_ := set $rabbitmq $key (printf "%s/%s" (include "tagsweep.secretFolder" "defaultUser") (trimSuffix "_file" $key)) }}
{{- end }}
{{- end }}
{{- if .Values.secrets.adminToken.name }}
{{- $_ := set $admin "token_file" (include "tagsweep.secretFile" (set $file "secret" "adminToken")) }}
{{- end }}
{{- if .Values.rabbitmqTls.existingSecret }}
{{- $_ := set $rabbitmq "ca_file" "/run/secrets/tagsweep-rabbitmq-tls/ca.crt" }}
{{- end }}
{{- if .Values.rabbitmqTls.clientCertificate }}
{{- $_ := set $rabbitmq "cert_file" "/run/secrets/tagsweep-rabbitmq-tls/tls.crt" }}
{{- $_ := set $rabbitmq "key_file" "/run/secrets/tagsweep-rabbitmq-tls/tls.key" }}
{{- end }}
{{- $files := dict "im" $im "rabbitmq" $rabbitmq "admin" $admin }}
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

{{/* Whether a Secret holds several secrets: yours, or the chart's. */}}
{{- define "tagsweep.sharedSecret" -}}
{{- if .Values.existingSecret }}{{ .Values.existingSecret }}
{{- else if or (.Values.secret).imSecretKey (.Values.secret).rabbitmqUrl }}{{ include "tagsweep.fullname" . }}
{{- end }}
{{- end }}

{{/* A port of a URL, or the default. */}}
{{- define "tagsweep.portOf" -}}
{{- regexFind ":[0-9]+" (regexReplaceAll "^[a-z]+://" .url "") | trimPrefix ":" | default (ternary "80" "443" (hasPrefix "http://" .url)) }}
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
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.initContainers }}
initContainers:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: config
    configMap:
      name: {{ include "tagsweep.fullname" . }}
  {{- with include "tagsweep.sharedSecret" . }}
  - name: secrets
    secret:
      secretName: {{ . }}
      defaultMode: 0440
  {{- end }}
  {{- range $name, $secret := .Values.secrets }}
  {{- if $secret.name }}
  - name: {{ $name | kebabcase }}
    secret:
      secretName: {{ $secret.name }}
      defaultMode: 0440
      items:
        - key: {{ $secret.key }}
          path: {{ $secret.key }}
  {{- end }}
  {{- end }}
  {{- with .Values.rabbitmq.defaultUserSecret }}
  - name: default-user
    secret:
      secretName: {{ . }}
      defaultMode: 0440
      items:
        - key: username
          path: username
        - key: password
          path: password
  {{- end }}
  {{- with .Values.rabbitmqTls.existingSecret }}
  - name: rabbitmq-tls
    secret:
      secretName: {{ . }}
      defaultMode: 0440
  {{- end }}
  {{- with .Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
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
  {{- if .Values.rabbitmq.defaultUserSecret }}
  {{- range $key := list "host" "port" }}
  - name: RABBITMQ_{{ upper $key }}
    valueFrom:
      secretKeyRef:
        name: {{ $.Values.rabbitmq.defaultUserSecret }}
        key: {{ $key }}
  {{- end }}
  {{- end }}
  {{- if include "tagsweep.brokerByHost" . }}
  - name: TAGSWEEP__RABBITMQ__URL
    value: {{ include "tagsweep.brokerUrl" . | quote }}
  {{- end }}
  {{- with .Values.traces.endpoint }}
  - name: OTEL_EXPORTER_OTLP_ENDPOINT
    value: {{ . | quote }}
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  # Whole folders: Kubernetes does not renew a single file that is mounted by subPath.
  - name: config
    mountPath: /etc/tagsweep
    readOnly: true
  {{- if include "tagsweep.sharedSecret" . }}
  - name: secrets
    mountPath: /run/secrets/tagsweep
    readOnly: true
  {{- end }}
  {{- range $name, $secret := .Values.secrets }}
  {{- if $secret.name }}
  - name: {{ $name | kebabcase }}
    mountPath: {{ include "tagsweep.secretFolder" $name }}
    readOnly: true
  {{- end }}
  {{- end }}
  {{- if .Values.rabbitmq.defaultUserSecret }}
  - name: default-user
    mountPath: {{ include "tagsweep.secretFolder" "defaultUser" }}
    readOnly: true
  {{- end }}
  {{- if .Values.rabbitmqTls.existingSecret }}
  - name: rabbitmq-tls
    mountPath: /run/secrets/tagsweep-rabbitmq-tls
    readOnly: true
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* A probe with single fields replaced: the fields that the chart sets, then those of `probes`. */}}
{{- define "tagsweep.probe" -}}
{{- $get := dict "httpGet" (dict "path" .path "port" "metrics") }}
{{- toYaml (mergeOverwrite $get .default (deepCopy (get .root.Values.probes .name))) }}
{{- end }}
