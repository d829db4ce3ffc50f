import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { KubeletFormatError } from '../../../agent/errors.ts';
import {
  formatPulledRecord,
  formatPullIntent,
  kubeletFileName,
  parsePulledRecord,
  parsePullIntent,
} from '../../../agent/records/kubelet/format.ts';

const captures = join(import.meta.dirname, '../../captures/kubelet-records/pulled');
const record = {
  kind: 'ImagePulledRecord',
  apiVersion: 'kubelet.config.k8s.io/v1beta1',
  lastUpdatedTime: '2026-11-23T03:41:28Z',
  imageRef: 'sha256:a1',
  credentialMapping: { 'reg.example/app': { nodePodsAccessible: true } },
};

function parse(fields: object): ReturnType<typeof parsePulledRecord> {
  return parsePulledRecord(JSON.stringify({ ...record, ...fields }));
}

function reasonOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof KubeletFormatError) return error.reason;
    throw error;
  }
  return 'none';
}

function secretOf(name: string, credentialHash = ''): object {
  return { uid: 'u', namespace: 'team-a', name, credentialHash };
}

describe('an ImagePulledRecord that kubelet wrote', () => {
  it.each(readdirSync(captures))('is written again byte for byte: %s', (file) => {
    const text = readFileSync(join(captures, file), 'utf8');
    const parsed = parsePulledRecord(text);
    expect(formatPulledRecord(parsed)).toBe(text);
    expect(kubeletFileName(parsed.imageRef)).toBe(file);
  });

  it('may be of v1alpha1', () => {
    expect(parse({ apiVersion: 'kubelet.config.k8s.io/v1alpha1' })).toEqual(parse({}));
  });

  it('tells when it was written', () => {
    expect(parse({}).lastUpdatedTime).toBe(Date.UTC(2026, 10, 23, 3, 41, 28));
    expect(parse({ lastUpdatedTime: '2026-11-23T04:41:28+01:00' })).toEqual(parse({}));
    expect(parse({ lastUpdatedTime: null }).lastUpdatedTime).toBe(0);
  });

  it('may name nobody', () => {
    expect(parse({ credentialMapping: null }).credentialMapping.size).toBe(0);
    expect(parse({ credentialMapping: { app: {} } }).credentialMapping.size).toBe(0);
    expect(parse({ credentialMapping: { app: { kubernetesSecrets: [] } } }).credentialMapping.size).toBe(0);
    expect(formatPulledRecord(parse({ credentialMapping: {} }))).not.toContain('credentialMapping');
  });

  it('counts for every pod where it says so, whatever stands beside', () => {
    const entry = { nodePodsAccessible: true, kubernetesSecrets: [secretOf('alice')] };
    expect(parse({ credentialMapping: { app: entry } }).credentialMapping.get('app')).toEqual({
      nodePodsAccessible: true,
    });
  });

  it('names service accounts', () => {
    const kubernetesServiceAccounts = [
      { uid: 'u', namespace: 'b', name: 'x' },
      { uid: 'u', namespace: 'a', name: 'y' },
    ];
    const parsed = parse({ credentialMapping: { app: { kubernetesServiceAccounts } } });
    expect(parsed.credentialMapping.get('app')?.kubernetesServiceAccounts).toEqual(
      kubernetesServiceAccounts.toReversed(),
    );
    expect(formatPulledRecord(parsed)).toContain(
      '{"app":{"kubernetesServiceAccounts":[{"uid":"u","namespace":"a","name":"y"},{"uid":"u",',
    );
  });

  it('has its names in order and escaped as Go does it', () => {
    const mapping = { b: { nodePodsAccessible: true }, a: { kubernetesSecrets: [secretOf('<&>\u2028')] } };
    const text = formatPulledRecord(parse({ credentialMapping: mapping }));
    expect(text.indexOf('"a":')).toBeLessThan(text.indexOf('"b":'));
    expect(text).toContain('"name":"\\u003c\\u0026\\u003e\\u2028"');
  });

  it('is written with a time that RFC 3339 has, whatever the database says', () => {
    const old = { ...parse({}), lastUpdatedTime: Number.MAX_SAFE_INTEGER };
    expect(formatPulledRecord(old)).toContain('"lastUpdatedTime":"9999-12-31T23:59:59Z"');
    expect(formatPulledRecord({ ...old, lastUpdatedTime: -1 })).toContain('"1970-01-01T00:00:00Z"');
  });
});

describe('a text that is no record', () => {
  it.each([
    ['notJson', ''],
    ['notJson', '{"kind":'],
    ['notJson', '['.repeat(100_000)],
    ['wrongKind', 'null'],
    ['wrongKind', '[]'],
    ['wrongKind', '{}'],
    ['wrongKind', JSON.stringify({ ...record, kind: 'ImagePullIntent' })],
    ['wrongKind', JSON.stringify({ ...record, apiVersion: 'kubelet.config.k8s.io/v1' })],
  ])('is told: %s', (reason, text) => {
    expect(reasonOf(() => parsePulledRecord(text))).toBe(reason);
  });

  it.each([
    ['without an imageRef', { imageRef: '' }],
    ['of an endless imageRef', { imageRef: 'a'.repeat(5_000) }],
    ['with a time that is none', { lastUpdatedTime: 'yesterday' }],
    ['with a field that kubelet would refuse', { surplus: 1 }],
    ['with an unknown credential', { credentialMapping: { app: { everybody: true } } }],
    ['with a name that has a tag', { credentialMapping: { 'app:1': { nodePodsAccessible: true } } }],
    ['with a name that is none', { credentialMapping: { 'A//': { nodePodsAccessible: true } } }],
    ['with a flag that is a word', { credentialMapping: { app: { nodePodsAccessible: 'true' } } }],
    ['with a secret without a name', { credentialMapping: { app: { kubernetesSecrets: [{ uid: '' }] } } }],
    [
      'with an endless hash',
      { credentialMapping: { app: { kubernetesSecrets: [secretOf('a', 'f'.repeat(257))] } } },
    ],
    [
      'with more secrets than anyone has',
      { credentialMapping: { app: { kubernetesSecrets: Array(5_001).fill(secretOf('a')) } } },
    ],
  ])('is malformed %s', (_, fields) => {
    expect(reasonOf(() => parse(fields))).toBe('malformed');
  });

  it.each([
    { credentialMapping: { 'S3CRET:x': {} } },
    { credentialMapping: { S3CRET: { S3CRET: 'S3CRET' } } },
    { lastUpdatedTime: 'S3CRET' },
  ])('does not show its content in the error: %o', (fields) => {
    expect(() => parse(fields)).toThrow(/^(?!.*S3CRET)(credentialMapping|lastUpdatedTime): /s);
  });
});

describe('an ImagePullIntent', () => {
  it('is read and written', () => {
    const text = formatPullIntent('reg.example/app:1');
    expect(text).toBe(
      '{"kind":"ImagePullIntent","apiVersion":"kubelet.config.k8s.io/v1beta1","image":"reg.example/app:1"}\n',
    );
    expect(parsePullIntent(text)).toBe('reg.example/app:1');
    expect(parsePullIntent(text.replace('v1beta1', 'v1alpha1'))).toBe('reg.example/app:1');
  });

  it('has nothing but an image', () => {
    const intent = { kind: 'ImagePullIntent', apiVersion: 'kubelet.config.k8s.io/v1beta1', image: 'a', b: 1 };
    expect(reasonOf(() => parsePullIntent(JSON.stringify(intent)))).toBe('malformed');
    expect(reasonOf(() => parsePullIntent(JSON.stringify(record)))).toBe('wrongKind');
  });
});
