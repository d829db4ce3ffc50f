import { stripVTControlCharacters } from 'node:util';
import fc from 'fast-check';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { allowed, denied } from '../../agent/access/verdict.ts';
import { createLog, type LogLevel, logEnforcement, logVerdict } from '../../agent/telemetry/log.ts';
import { prettyStream } from '../../agent/telemetry/pretty.ts';

async function logTo(format: 'json' | 'pretty', level: LogLevel = 'info') {
  const written: string[] = [];
  const log = await createLog({ level, format, destination: { write: (text) => void written.push(text) } });
  return { log, text: () => written.join(''), lines: () => written.join('').split('\n').slice(0, -1) };
}

const line = z.record(z.string(), z.unknown());

function parsed(text: string | undefined): Record<string, unknown> {
  return line.parse(JSON.parse(text ?? ''));
}

const subject = {
  namespace: 'team-b',
  pod: 'web',
  container: 'app',
  containerId: 'c1',
  image: 'registry.example/team-a/app:1',
  imageRef: 'sha256:11',
  durationMs: 12.345_678,
};

describe('the log on a terminal', () => {
  it('has the verdict first and in its colour, and what was done with whose container it was', async () => {
    const written: string[] = [];
    const out = await prettyStream({ write: (text) => void written.push(text) }, { colors: true });
    const log = pino({ base: null }, out);
    logVerdict(log, { ...subject, verdict: denied('registryRefused', 'refused') });
    logEnforcement(log, { ...subject, action: 'stop', outcome: 'stopped' });
    const text = written.join('');
    expect(text).toContain('\u001b[31mdenied\u001b[');
    expect(stripVTControlCharacters(text)).toContain(': denied team-b/web app: registryRefused: refused');
    expect(text).toContain('stopped team-b/web app (stop)');
  });

  it('takes no colours from what is logged', async () => {
    const { log, text } = await logTo('pretty');
    log.warn({ field: 'a\u001b[31mb' }, 'c\u001b[31md');
    expect(text()).not.toContain('\u001b');
  });
});

describe('a verdict in the log', () => {
  it('is one JSON line with everything an auditor asks for', async () => {
    const { log, lines } = await logTo('json');
    logVerdict(log, { ...subject, verdict: denied('registryRefused', 'the registry refused it') });
    expect(lines()).toHaveLength(1);
    expect(parsed(lines()[0])).toMatchObject({
      level: 'warn',
      msg: 'verdict',
      namespace: 'team-b',
      pod: 'web',
      container: 'app',
      containerId: 'c1',
      image: 'registry.example/team-a/app:1',
      imageRef: 'sha256:11',
      verdict: 'denied',
      reason: 'registryRefused',
      detail: 'the registry refused it',
      durationMs: 12.346,
    });
    expect(parsed(lines()[0]).time).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  });

  it('is information when it allows, and left out above that level', async () => {
    const info = await logTo('json');
    const warn = await logTo('json', 'warn');
    for (const { log } of [info, warn]) logVerdict(log, { ...subject, verdict: allowed('preloaded', '') });
    expect(parsed(info.lines()[0]).level).toBe('info');
    expect(warn.lines()).toEqual([]);
  });
});

describe('a verdict on a terminal', () => {
  it('comes first, in the words of its line, with the date and the time of the machine', async () => {
    const { log, text } = await logTo('pretty');
    logVerdict(log, { ...subject, verdict: denied('registryRefused', 'the registry refused it') });
    expect(text()).toMatch(
      /^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}.*\] WARN: denied team-b\/web app: registryRefused: the registry refused it \{/,
    );
    expect(text()).toContain('"durationMs":12.346');
    expect(text()).not.toContain('"verdict"');
  });
});

describe('what was done about a container, in the log', () => {
  const done = { namespace: 'team-b', pod: 'web', container: 'app', containerId: 'c1', image: 'app:1' };

  it('names the pod, and is an error where it failed', async () => {
    const { log, lines } = await logTo('json');
    logEnforcement(log, { ...done, action: 'stop', outcome: 'stopped' });
    logEnforcement(log, { ...done, action: 'stop', outcome: 'failed' });
    expect(lines().map(parsed)).toMatchObject([
      { level: 'warn', msg: 'enforcement', namespace: 'team-b', pod: 'web', outcome: 'stopped' },
      { level: 'error', msg: 'enforcement', namespace: 'team-b', pod: 'web', outcome: 'failed' },
    ]);
  });
});

describe('a number in the log', () => {
  it('has three digits after the point at most', async () => {
    const { log, lines } = await logTo('json');
    log.info({ seconds: 0.123_456_789_012_34, count: 7, deep: { ms: 1.000_04 } }, 'measured');
    expect(parsed(lines()[0])).toMatchObject({ seconds: 0.123, count: 7, deep: { ms: 1 } });
  });
});

describe('credentials that are logged by mistake', () => {
  it('are taken out by the name of their field, at any depth', async () => {
    const { log, text } = await logTo('json');
    log.info(
      {
        password: 'hunter2a',
        secret: { data: { '.dockerconfigjson': 'hunter2b' } },
        auths: { 'registry.example': { auth: 'hunter2c' } },
        list: [{ identityToken: 'hunter2d' }, new Map([['Token', 'hunter2e']])],
        raw: Buffer.from('hunter2f'),
        headers: { Authorization: 'hunter2g' },
      },
      'oops',
    );
    expect(text()).not.toMatch(/hunter2|aHVudGVy/);
    expect(text()).toContain('oops');
  });

  it('are taken out of text: user info in addresses and authorization headers', async () => {
    const { log, text } = await logTo('json');
    const message = 'GET https://user:hunter2@registry.example/v2/ with Basic dXNlcjpodW50ZXIy: 401';
    log.warn({ err: new Error(message), message }, message);
    log.warn(new Error(message));
    expect(text()).not.toMatch(/hunter2|dXNlcjpodW50ZXIy/);
    expect(text()).toContain('registry.example/v2/');
  });

  it('are not mistaken for the digest of an image', async () => {
    const { log, text } = await logTo('json');
    log.info({ image: 'docker://registry.example/app@sha256:abcd' }, 'seen');
    expect(text()).toContain('docker://registry.example/app@sha256:abcd');
  });
});

describe('text from tenants', () => {
  it.each(['json', 'pretty'] as const)(
    'never makes more than one line, nor a control character (%s)',
    async (format) => {
      await fc.assert(
        fc.asyncProperty(fc.string({ unit: 'binary' }), async (evil) => {
          const { log, text, lines } = await logTo(format);
          logVerdict(log, {
            ...subject,
            image: evil,
            pod: `${evil}\n`,
            verdict: denied('imageMismatch', evil),
          });
          expect(lines()).toHaveLength(1);
          expect(text().slice(0, -1)).not.toMatch(/[\p{Cc}\u2028\u2029\u202e]/u);
        }),
      );
    },
  );

  it('cannot forge a line in pretty output', async () => {
    const { log, lines } = await logTo('pretty');
    const evil = 'x"\n[12:00:00.000] INFO: verdict {"verdict":"allowed"}\u001b[2K';
    logVerdict(log, { ...subject, image: evil, verdict: denied('registryRefused', evil) });
    log.error({ err: new Error(evil) }, evil);
    expect(lines()).toHaveLength(2);
    expect(lines()[0]).toMatch(/ WARN: denied team-b\/web app: registryRefused: x"\\n/);
  });

  it('is cut', async () => {
    const { log, text } = await logTo('json');
    log.info(
      { image: 'a'.repeat(1_000_000), deep: { list: Array(100_000).fill('b') } },
      'c'.repeat(1_000_000),
    );
    expect(text().length).toBeLessThan(4_000);
  });
});

describe('an error in the log', () => {
  it('has its kind, reason and message, and its stack only at debug', async () => {
    const failure = Object.assign(new Error('gone', { cause: new Error('ENOENT') }), {
      reason: 'databaseFailed',
    });
    const info = await logTo('json', 'info');
    const debug = await logTo('json', 'debug');
    for (const { log } of [info, debug]) log.error({ err: failure }, 'failed');
    expect(parsed(info.lines()[0]).err).toEqual({
      type: 'Error',
      reason: 'databaseFailed',
      message: 'gone',
      cause: { type: 'Error', message: 'ENOENT' },
    });
    expect(JSON.stringify(parsed(debug.lines()[0]).err)).toContain('log.test.ts');
  });

  it('that goes round in a circle ends', async () => {
    const { log, lines } = await logTo('json');
    const failure = new Error('loop');
    failure.cause = failure;
    log.error(failure);
    expect(lines()).toHaveLength(1);
  });
});
