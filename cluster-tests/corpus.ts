import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const COMMITTED = fileURLToPath(new URL('../test/testdata/corpus/manifests', import.meta.url));

/** Real documents: those in the repository, or a larger collection that holds the phrases below. */
export const CORPUS = process.env['CORPUS_FOLDER'] ?? COMMITTED;

/** Every file below a folder, by relative path. */
export function filesBelow(folder: string): ReadonlyMap<string, Buffer> {
  const files = new Map<string, Buffer>();
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(path.slice(folder.length + 1), readFileSync(path));
  }
  return files;
}

/** Names and phrases that stand in the documents or are their keys: none may be found outside an envelope. */
export const PHRASES = [
  'grafana-dashboardDefinitions.yaml',
  'alertmanager-secret.yaml',
  'nodeExporter-prometheusRule.yaml',
  'grafana-config.yaml',
  'kubeStateMetrics',
  'apiVersion: v1',
  'kind: ConfigMap',
  'kind: Secret',
  'kind: PrometheusRule',
  'app.kubernetes.io/component',
  'app.kubernetes.io/part-of: kube-prometheus',
  'namespace: monitoring',
  'alertmanager.yaml',
  'InfoInhibitor',
  'Watchdog',
  'KubePersistentVolumeFillingUp',
  'node_filesystem_avail_bytes',
  'container_cpu_usage_seconds_total',
  'apiserver.json',
  'cluster-total.json',
  'controller-manager.json',
  'Bandwidth',
  'datasource',
  'legendFormat',
  'histogram_quantile',
  'stringData',
  'grafana-dashboard',
  'labels:',
  'metadata:',
  'refId',
] as const;
