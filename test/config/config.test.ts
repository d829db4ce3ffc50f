import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Flags } from '../../agent/config/flags.ts';
import { flagOf, OPTION_LIST, OPTIONS, variableOf } from '../../agent/config/options.ts';
import { type Config, resolveConfig } from '../../agent/config/resolve.ts';
import { ConfigError } from '../../agent/errors.ts';

let folder = '';
let files = 0;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'pullwarden-config-'));
});

afterAll(() => rmSync(folder, { recursive: true }));

function yaml(text: string): string {
  files += 1;
  const path = join(folder, `${files}.yaml`);
  writeFileSync(path, text);
  return path;
}

function refusal(flags: Flags, env: Record<string, string> = {}): ConfigError {
  try {
    resolveConfig({ flags, env });
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error('it was accepted');
}

function fromYaml(text: string): Config {
  return resolveConfig({ flags: { config: yaml(text) }, env: {} });
}

describe('where nothing is configured', () => {
  it('the agent audits, verifies what was not preloaded, and spares kube-system', () => {
    expect(resolveConfig({ flags: {}, env: {} })).toMatchObject({
      mode: 'audit',
      onUnverifiable: 'deny',
      unmanaged: 'audit',
      enforceNamespaces: ['*'],
      exemptNamespaces: ['kube-system'],
      verificationPolicy: 'NeverVerifyPreloadedImages',
      verificationAllowlist: [],
      existingImages: 'preloaded',
      stateDir: '/var/lib/pullwarden',
      runtimeEndpoint: undefined,
      podsDirectory: undefined,
      pullTimeout: 5_000,
      maxParallelPulls: 4,
      fuseCount: 10,
      fuseShare: 0.2,
      fuseWindow: 600_000,
      listenAddress: { host: '127.0.0.1', port: 9468 },
      decisionsRetention: 30 * 24 * 3_600_000,
      decisionsMaxRows: 100_000,
    });
  });
});

describe('an option that stands in several places', () => {
  const env = { PULLWARDEN_PULL_TIMEOUT: '2m' };

  it('is taken from the flag, then the environment, then the file, then its default', () => {
    const config = yaml('pullTimeout: 3m');
    expect(resolveConfig({ flags: { config, pullTimeout: '1m' }, env }).pullTimeout).toBe(60_000);
    expect(resolveConfig({ flags: { config }, env }).pullTimeout).toBe(120_000);
    expect(resolveConfig({ flags: { config }, env: {} }).pullTimeout).toBe(180_000);
  });

  it('is validated everywhere, also where another place wins', () => {
    const config = yaml('pullTimeout: soon');
    expect(refusal({ config, pullTimeout: '1m' }).message).toContain(`pullTimeout in ${config}`);
  });

  it('replaces a list, and does not add to it', () => {
    const config = yaml('exemptNamespaces: [one, two]');
    expect(resolveConfig({ flags: { config, exemptNamespaces: 'three' }, env: {} }).exemptNamespaces).toEqual(
      ['three'],
    );
  });
});

describe('the file', () => {
  it('may be named by the environment, and a flag names another', () => {
    const env = { PULLWARDEN_CONFIG: yaml('mode: enforce') };
    expect(resolveConfig({ flags: {}, env }).mode).toBe('enforce');
    expect(resolveConfig({ flags: { config: yaml('') }, env }).mode).toBe('audit');
  });

  it('takes every option under its own name', () => {
    const config = fromYaml(
      'verificationPolicy: NeverVerifyAllowlistedImages\nverificationAllowlist:\n- registry.example/base/*\nfuseShare: 0.5\nlistenAddress: ""\n',
    );
    expect(config.verificationAllowlist).toEqual(['registry.example/base/*']);
    expect(config.fuseShare).toBe(0.5);
    expect(config.listenAddress).toBeUndefined();
  });

  it.each([
    ['an unknown key', 'mod: audit', /"mod" is not an option; known are .*mode/],
    ['a key of another case', 'Mode: audit', /"Mode" is not an option/],
    ['a key that every object has', 'constructor: 1', /"constructor" is not an option/],
    ['a prototype', '__proto__: {mode: enforce}', /"__proto__" is not an option/],
    ['a file within the file', 'config: /other', /"config" is not an option/],
    ['a key twice', 'mode: audit\nmode: enforce', /unique at line 2/],
    ['a word that is not on the list', 'mode: warn', /mode in .*: "warn" .* must be one of audit, enforce/],
    ['a number without a unit', 'pullTimeout: 60', /pullTimeout in .*: 60 .* must be a duration/],
    ['a negative duration', 'pullTimeout: -5s', /"-5s" is not allowed/],
    ['a duration that is too long', 'pullTimeout: 999h', /from 1s to 1h/],
    ['text for a number', 'fuseCount: "10"', /fuseCount in .*: "10" .* must be a whole number from 0/],
    ['a fraction for a whole number', 'fuseCount: 1.5', /must be a whole number/],
    ['infinity', 'fuseShare: .inf', /must be a number from 0 to 1/],
    ['no number', 'fuseShare: .nan', /must be a number from 0 to 1/],
    ['text for a list', 'exemptNamespaces: kube-system', /must be a list of namespace names/],
    ['a name that is no namespace', 'exemptNamespaces: [Team_A]', /must be a list of namespace names/],
    ['nothing', 'mode:', /mode in .*: null is not allowed/],
    ['a map', 'mode: {a: b}', /mode in .*is not allowed/],
    ['a list at the top', '- mode', /must hold keys and values/],
    ['text at the top', 'audit', /must hold keys and values/],
    ['two documents', 'mode: audit\n---\nmode: audit', /document/],
    ['a tag that nobody knows', 'mode: !x audit', /tag/i],
    ['broken YAML', 'mode: [', /at line 1/],
    ['brackets that go too deep', '['.repeat(20_000), /\S/],
    ['an alias to nowhere', 'mode: *x', /alias/i],
    [
      'a flood of aliases',
      `mode: &a [${'x,'.repeat(9)}]\nfuseCount: &b [${'*a,'.repeat(9)}]\nfuseShare: [${'*b,'.repeat(90)}]`,
      /alias/i,
    ],
  ])('with %s is refused on one line', (_, text, message) => {
    const error = refusal({ config: yaml(text) });
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain('\n');
  });

  it('that is not there, is a folder, a device or too large, is refused', () => {
    expect(refusal({ config: join(folder, 'none.yaml') })).toMatchObject({ reason: 'fileUnreadable' });
    expect(refusal({ config: folder })).toMatchObject({ reason: 'fileUnreadable' });
    expect(refusal({ config: '/dev/zero' })).toMatchObject({ reason: 'fileUnreadable' });
    expect(refusal({ config: yaml('#'.repeat(2 * 1024 * 1024)) })).toMatchObject({
      reason: 'fileUnreadable',
    });
  });

  it('that is a pipe nobody writes to is refused at once', () => {
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    expect(refusal({ config: pipe })).toMatchObject({ reason: 'fileUnreadable' });
  });
});

describe('the environment', () => {
  it('is warned about where it holds an option that this version does not have, and still counts', () => {
    const warnings: string[] = [];
    const env = { PULLWARDEN_OF_A_NEWER_VERSION: 'x', PULLWARDEN_MODE: 'enforce' };
    const config = resolveConfig({ flags: {}, env, onUnknownVariable: (message) => warnings.push(message) });
    expect(config.mode).toBe('enforce');
    expect(warnings).toEqual([
      'environment variable PULLWARDEN_OF_A_NEWER_VERSION is ignored: this version has no such option',
    ]);
  });

  it('may hold what Kubernetes puts there for Services that are named after Pullwarden', () => {
    const env = {
      PULLWARDEN_SERVICE_HOST: '10.0.0.1',
      PULLWARDEN_SERVICE_PORT: '9468',
      PULLWARDEN_SERVICE_PORT_METRICS: '9468',
      PULLWARDEN_PORT: 'tcp://10.0.0.1:9468',
      PULLWARDEN_PORT_9468_TCP: 'tcp://10.0.0.1:9468',
      PULLWARDEN_PORT_9468_TCP_PROTO: 'tcp',
      PULLWARDEN_METRICS_SERVICE_HOST: '10.0.0.2',
      PULLWARDEN_METRICS_PORT_9468_TCP_ADDR: '10.0.0.2',
    };
    expect(resolveConfig({ flags: {}, env })).toEqual(resolveConfig({ flags: {}, env: {} }));
  });

  it('parts lists by commas; an empty text is an empty list', () => {
    const of = (text: string) => resolveConfig({ flags: {}, env: { PULLWARDEN_EXEMPT_NAMESPACES: text } });
    expect(of('a, b').exemptNamespaces).toEqual(['a', 'b']);
    expect(of('').exemptNamespaces).toEqual([]);
  });

  it('names the variable that is wrong, and shows what it holds on one line', () => {
    const error = refusal({}, { PULLWARDEN_NODE_NAME: `a\nb\u001b[2J${'c'.repeat(500)}` });
    expect(error.message).toMatch(/^PULLWARDEN_NODE_NAME: "a\\nb/);
    expect(error.message).not.toMatch(/\p{Cc}/u);
    expect(error.message.length).toBeLessThan(300);
  });
});

describe('the name of the node', () => {
  it('is in lower case, as kubelet registers a node whose host name has capitals', () => {
    const config = resolveConfig({ flags: { nodeName: 'IP-10-0-0-1.Example' }, env: {} });
    expect(config.nodeName).toBe('ip-10-0-0-1.example');
    expect(resolveConfig({ flags: {}, env: {} }).nodeName).toBe(hostname().toLowerCase());
  });
});

describe('an allowlist', () => {
  const verificationPolicy = 'NeverVerifyAllowlistedImages';

  it('goes only with the policy that reads it', () => {
    const error = refusal({ verificationAllowlist: 'registry.example/base' });
    expect(error).toMatchObject({ reason: 'conflict' });
    expect(error.message).toMatch(/^--verification-allowlist: .*NeverVerifyAllowlistedImages/);
  });

  it('is validated as kubelet does when it starts', () => {
    const error = refusal({ verificationPolicy, verificationAllowlist: 'registry.example/*/base' });
    expect(error.message).toMatch(/^--verification-allowlist: .*wildcard/);
  });
});

describe('the runtime endpoint', () => {
  it.each(['unix:///run/containerd/containerd.sock', 'unix:/run/x.sock', '/run/x.sock'])(
    'may be %s',
    (runtimeEndpoint) => {
      expect(resolveConfig({ flags: { runtimeEndpoint }, env: {} }).runtimeEndpoint).toBe(runtimeEndpoint);
    },
  );

  it.each(['tcp://1.2.3.4:5', 'containerd.sock', ''])('may not be %j', (runtimeEndpoint) => {
    expect(refusal({ runtimeEndpoint }).message).toMatch(/^--runtime-endpoint: .*unix:\/\/\/path/);
  });
});

describe('whatever is configured', () => {
  const value = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('audit', '5s', '0', '-1', '1e9', 'a,b', '1'.repeat(400), '127.0.0.1:0', '/x'),
  );
  const name = fc.constantFrom(
    ...OPTION_LIST.map((option) => option.name).filter((option) => option !== 'config'),
  );

  function isConfigOrConfigError(resolve: () => Config): void {
    try {
      expect(Object.keys(resolve())).toEqual(Object.keys(OPTIONS));
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      expect(error.message).not.toMatch(/[\p{Cc}\u2028\u2029]/u);
      expect(error.message.length).toBeLessThan(2_000);
    }
  }

  it('flags and environment give a configuration or a ConfigError of one line', () => {
    fc.assert(
      fc.property(fc.dictionary(name, value), fc.dictionary(name, value), (flags, env) => {
        const variables = Object.entries(env).map(([option, text]) => [variableNamed(option), text]);
        isConfigOrConfigError(() => resolveConfig({ flags, env: Object.fromEntries(variables) }));
      }),
      { numRuns: 500 },
    );
  });

  it('a file of any text does, too', () => {
    const documents = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.dictionary(name, fc.jsonValue()).map((content) => JSON.stringify(content)),
      fc.stringMatching(/^[-:{}[\]&*!|>'"%@`a \n]{0,40}$/),
      fc.constant('&a [*a]'),
      fc.constant('mode: &a [*a]'),
    );
    fc.assert(
      fc.property(documents, (text) => isConfigOrConfigError(() => fromYaml(text))),
      { numRuns: 300 },
    );
  });

  function variableNamed(option: string): string {
    const known = OPTION_LIST.find((candidate) => candidate.name === option);
    return known ? variableOf(known.name) : option;
  }
});

describe('the names of an option', () => {
  it('follow from the one in the table', () => {
    expect(flagOf('runtimeEndpoint')).toBe('--runtime-endpoint');
    expect(variableOf('runtimeEndpoint')).toBe('PULLWARDEN_RUNTIME_ENDPOINT');
  });

  it('are not taken for what Kubernetes injects', () => {
    for (const { name } of OPTION_LIST)
      expect(variableOf(name)).not.toMatch(/_(SERVICE_HOST|SERVICE_PORT|PORT)(_|$)/);
  });
});

describe('every default', () => {
  it('is a value that its option allows', () => {
    for (const { name, type, default: text } of OPTION_LIST) {
      const parsed = type.schema.safeParse(text === undefined ? undefined : type.fromText(text));
      expect([name, parsed.success]).toEqual([name, true]);
    }
  });
});

describe('the table of options in docs/configuration.md', () => {
  it('is that of the code', () => {
    expect(() => execFileSync(process.execPath, ['scripts/config-table.ts', '--check'])).not.toThrow();
  });
});
