import { describe, expect, it } from 'vitest';
import { formatListenAddress, parseListenAddress } from '../../agent/config/listen-address.ts';

describe('an address to listen on', () => {
  it.each([
    ['127.0.0.1:9468', { host: '127.0.0.1', port: 9468 }],
    ['[::1]:0', { host: '::1', port: 0 }],
    [':9468', { host: '', port: 9468 }],
    ['localhost:65535', { host: 'localhost', port: 65535 }],
  ])('%s is read, and written the same', (text, address) => {
    expect(parseListenAddress(text)).toEqual(address);
    expect(formatListenAddress(address)).toBe(text);
  });

  it.each([
    '9468',
    '127.0.0.1',
    '127.0.0.1:',
    '127.0.0.1:65536',
    '::1:80',
    '[::1',
    '[x]:80',
    '1.2.3:80',
    'a b:80',
    '-a:80',
    'h:8o',
  ])('%j is none', (text) => {
    expect(parseListenAddress(text)).toBeUndefined();
  });
});
