import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { htpasswdLines } from '../../scripts/lab/htpasswd.ts';
import { parseMountInfo } from '../../scripts/lab/mounts.ts';
import { identify, isAlive } from '../../scripts/lab/processes.ts';
import { tarArchive } from '../../scripts/lab/tar.ts';

describe('parts of the lab', () => {
  it('writes archives that tar reads', () => {
    const archive = tarArchive([
      { path: 'app', content: Buffer.from('program'), mode: 0o755 },
      { path: 'empty', content: Buffer.alloc(0), mode: 0o600 },
    ]);
    const listing = execFileSync('tar', ['tvf', '-'], { input: archive, encoding: 'utf8' });
    expect(listing).toMatch(/^-rwxr-xr-x 0\/0 +7 .*app\n-rw------- 0\/0 +0 .*empty\n$/);
    expect(execFileSync('tar', ['xOf', '-', 'app'], { input: archive, encoding: 'utf8' })).toBe('program');
  });

  it('makes bcrypt lines, one a user', async () => {
    const lines = await htpasswdLines({ alice: 'a', bob: 'b' });
    expect(lines).toMatch(/^alice:\$2y\$05\$[./A-Za-z0-9]{53}\nbob:\$2y\$05\$[./A-Za-z0-9]{53}\n$/);
  });

  it('reads mount points with spaces', () => {
    const text =
      '41 31 0:38 / /sys/fs/cgroup/cpu rw,relatime shared:5 - cgroup cgroup rw,cpu\n' +
      '50 27 0:40 / /tmp/a\\040b rw - overlay overlay rw,lowerdir=/x\n';
    expect(parseMountInfo(text)).toEqual([
      { mountPoint: '/sys/fs/cgroup/cpu', fileSystem: 'cgroup', superOptions: ['rw', 'cpu'] },
      { mountPoint: '/tmp/a b', fileSystem: 'overlay', superOptions: ['rw', 'lowerdir=/x'] },
    ]);
  });

  it('does not mistake a reused pid for the process it knew', async () => {
    const self = await identify(process.pid);
    if (self === undefined) throw new Error('no /proc/self');
    expect(await isAlive(self)).toBe(true);
    expect(await isAlive({ ...self, startTime: '1' })).toBe(false);
  });
});
