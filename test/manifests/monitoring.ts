import { type IRule, PrometheusRule } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1';
import { ConfigMap } from 'kubernetes-models/v1';
import { z } from 'zod';
import { build } from './kustomize.ts';

export type AlertRule = IRule & { readonly alert: string };

const target = z.object({ refId: z.string(), expr: z.string(), legendFormat: z.string().optional() });
const panel = z.object({
  id: z.number(),
  type: z.string(),
  title: z.string().min(1),
  description: z.string().optional(),
  gridPos: z.object({ x: z.number(), y: z.number(), w: z.number(), h: z.number() }),
  targets: z.array(target).default([]),
});
const dashboardSchema = z.object({
  uid: z.string(),
  panels: z.array(panel),
  templating: z.object({ list: z.array(z.object({ name: z.string() })) }),
});

export type Dashboard = z.infer<typeof dashboardSchema>;

/** The rules of manifests/monitoring as Prometheus' own rule file, and each alert. */
export async function alertRules(): Promise<{ groups: object[]; alerts: AlertRule[] }> {
  const groups = (await build('monitoring'))
    .filter(PrometheusRule.is)
    .flatMap(({ spec }) => spec.groups ?? []);
  const rules = groups.flatMap((group) => group.rules ?? []);
  return { groups, alerts: rules.filter(isAlert) };
}

/** The dashboard as Grafana's sidecar finds it, in its ConfigMap. */
export async function dashboard(): Promise<Dashboard> {
  const maps = (await build('monitoring')).filter(ConfigMap.is);
  const found = maps.find(({ metadata }) => metadata?.labels?.grafana_dashboard === '1');
  return dashboardSchema.parse(JSON.parse(found?.data?.['dashboard.json'] ?? 'null'));
}

function isAlert(rule: IRule): rule is AlertRule {
  return rule.alert !== undefined;
}
