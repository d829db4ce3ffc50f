import { describe, expect, it } from 'vitest';
import { parseAccessLog, parseAccessLogLine } from '../../scripts/lab/access-log.ts';

const line =
  '127.0.0.1 - - [23/Nov/2026:06:03:08 +0100] "HEAD /v2/team-a/app/manifests/v1 HTTP/1.1" 401 157 "" "containerd/1.6.20~ds1"';

describe('registry access log', () => {
  it('reads every field of a line', () => {
    expect(parseAccessLogLine(line)).toEqual({
      time: new Date('2026-11-23T05:03:08Z'),
      method: 'HEAD',
      path: '/v2/team-a/app/manifests/v1',
      status: 401,
      userAgent: 'containerd/1.6.20~ds1',
      remote: '127.0.0.1',
    });
  });

  it('takes a user agent with quotes', () => {
    const quoted = line.replace('containerd/1.6.20~ds1', 'a \\"b\\" c');
    expect(parseAccessLogLine(quoted)?.userAgent).toBe('a \\"b\\" c');
  });

  it('passes over lines that are no requests', () => {
    expect(
      parseAccessLogLine('time="2026-11-23T06:03:08Z" level=warning msg="no HTTP secret"'),
    ).toBeUndefined();
    expect(parseAccessLogLine(line.replace('Nov', 'Nix'))).toBeUndefined();
    expect(parseAccessLogLine('')).toBeUndefined();
  });

  it('leaves an unfinished last line out', () => {
    expect(parseAccessLog(`${line}\nlevel=info\n${line}\n${line}`)).toHaveLength(2);
    expect(parseAccessLog(line)).toEqual([]);
  });
});
