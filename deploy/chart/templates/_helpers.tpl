{{- define "rbga.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- /* Every object's name begins so. */ -}}
{{- define "rbga.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "rbga.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "rbga.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "rbga.adapter.fullname" -}}{{ include "rbga.fullname" . }}-adapter{{- end }}
{{- define "rbga.controller.fullname" -}}{{ include "rbga.fullname" . }}-controller{{- end }}

{{- define "rbga.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- /* Labels that pods are selected by: list of root and component. */ -}}
{{- define "rbga.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "rbga.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- /* Labels of every object: list of root and component. */ -}}
{{- define "rbga.labels" -}}
{{- $root := index . 0 -}}
{{ include "rbga.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.customLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* The metadata that all objects share: dict of root, component, name; namespaced unless cluster is set. */ -}}
{{- define "rbga.metadata" -}}
name: {{ .name }}
{{- if not .cluster }}
namespace: {{ .namespace | default (include "rbga.namespace" .root) }}
{{- end }}
labels:
  {{- include "rbga.labels" (list .root .component) | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (.annotations | default dict) .root.Values.customAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "rbga.adapter.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "rbga.adapter.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "rbga.controller.serviceAccount" -}}
{{- with .Values.controller.serviceAccount }}
{{- if .create }}
{{- default (include "rbga.controller.fullname" $) .name }}
{{- else }}
{{- default "default" .name }}
{{- end }}
{{- end }}
{{- end }}

{{- /* A values file of prometheus-adapter names its image; ours takes its place. */ -}}
{{- define "rbga.adapter.image" -}}
{{- if contains "prometheus-adapter" .Values.image.repository -}}
ghcr.io/rbg-autoscaler/rbg-metrics-adapter:{{ .Chart.AppVersion }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{- define "rbga.prometheusUrl" -}}
{{- tpl (.Values.prometheus.url | toString) . }}
{{- if .Values.prometheus.port }}:{{ .Values.prometheus.port }}{{ end }}
{{- .Values.prometheus.path }}
{{- end }}

{{- /* Whether there is a file of rules, which both programs read. */ -}}
{{- define "rbga.hasRules" -}}
{{- with .Values.rules -}}
{{- if or .existing .default .custom .external .resource }}
{{- if eq $.Values.metricsFrom "direct" }}{{ fail "rules are PromQL: they need metricsFrom: prometheus" }}{{ end }}yes
{{- end }}
{{- end }}
{{- end }}

{{- /* Where the rules are. */ -}}
{{- define "rbga.rulesConfigMap" -}}
{{- .Values.rules.existing | default (printf "%s-rules" (include "rbga.fullname" .)) }}
{{- end }}

{{- /* The Lease of the controller: kubectl rbga looks for one named rbg-autoscaler. */ -}}
{{- define "rbga.lease" -}}{{ include "rbga.fullname" . }}{{- end }}

{{- /* The APIs that are registered, as a list. External and resource metrics belong to one server per cluster, so they must be asked for. */ -}}
{{- define "rbga.apiServices" -}}
- {version: v1beta1, group: custom.metrics.k8s.io, priority: 0}
- {version: v1beta2, group: custom.metrics.k8s.io, priority: 100}
{{- if or .Values.rules.external .Values.adapter.externalMetrics }}
- {version: v1beta1, group: external.metrics.k8s.io, priority: 0}
{{- end }}
{{- if .Values.rules.resource }}
- {version: v1beta1, group: metrics.k8s.io, priority: 0}
{{- end }}
{{- end }}

{{- /* Who makes the certificate: self, certManager, values or secret. */ -}}
{{- define "rbga.tls" -}}
{{- if and .Values.certManager.enabled .Values.tls.enable }}
{{- fail "tls.enable and certManager.enabled: choose one of them" }}
{{- else if and .Values.tls.existingSecret (not .Values.tls.enable) }}
{{- fail "tls.existingSecret: it is used with tls.enable: true only; set that and tls.ca, or leave the Secret out" }}
{{- else if .Values.certManager.enabled }}certManager
{{- else if not .Values.tls.enable }}self
{{- else if not .Values.tls.ca }}
{{- fail "tls.ca: give the authority (PEM) that signed the certificate; kube-apiserver verifies the adapter by it" }}
{{- else if .Values.tls.existingSecret }}secret
{{- else if and .Values.tls.certificate .Values.tls.key }}values
{{- else }}
{{- fail "tls.enable: give tls.certificate and tls.key (PEM), or tls.existingSecret" }}
{{- end }}
{{- end }}

{{- /* A Secret's type cannot change, so each way has a name of its own. */ -}}
{{- define "rbga.tlsSecret" -}}
{{- $tls := include "rbga.tls" . }}
{{- if eq $tls "secret" }}{{ .Values.tls.existingSecret }}
{{- else }}{{ include "rbga.adapter.fullname" . }}-{{ ternary "certificate" "tls" (eq $tls "self") }}
{{- end }}
{{- end }}

{{- /* Replicas on different nodes, as far as there are some: list of root, component and what the values say. */ -}}
{{- define "rbga.spread" -}}
{{- with index . 2 }}
{{- toYaml . }}
{{- else -}}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "rbga.selector" . | nindent 6 }}
{{- end }}
{{- end }}

{{- /* What a disruption budget allows: minAvailable if it is given, else maxUnavailable. */ -}}
{{- define "rbga.budget" -}}
{{- if not (kindIs "invalid" .minAvailable) -}}
minAvailable: {{ .minAvailable }}
{{- else -}}
maxUnavailable: {{ .maxUnavailable }}
{{- end }}
{{- end }}
