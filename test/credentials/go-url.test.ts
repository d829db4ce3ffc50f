import { describe, expect, it } from 'vitest';
import { parseSchemeless, splitPort, toByteString } from '../../agent/credentials/go-url.ts';

describe("host and path as Go's url.Parse gives them", () => {
  it.each([
    ['reg.io', 'reg.io', ''],
    ['reg.io/', 'reg.io', '/'],
    ['', '', ''],
    ['/', '', '/'],
    ['REG.io:5000/Team', 'REG.io:5000', '/Team'],
    ['reg.io:', 'reg.io:', ''],
    ['reg.io/a?b/c', 'reg.io', '/a'],
    ['reg.io?a/b', 'reg.io', ''],
    ['reg.io#a/b', 'reg.io', ''],
    ['reg.io#\n', 'reg.io', ''],
    ['reg.io/a%2Fb%3f', 'reg.io', '/a/b?'],
    ['reg.io/a b', 'reg.io', '/a b'],
    ['user:p%40ss@w@reg.io/a', 'reg.io', '/a'],
    ['*.reg.io', '*.reg.io', ''],
    ['a]', 'a]', ''],
    ['%c3%BC.io', '\u00c3\u00bc.io', ''],
    ['a%25b', 'a%b', ''],
    ['[::1]:5000/a', '[::1]:5000', '/a'],
    ['[::ffff:10.0.0.1]', '[::ffff:10.0.0.1]', ''],
    ['[fe80::1%25eth0]:5000/a', '[fe80::1%25eth0]:5000', '/a'],
    ['HTTPS://reg.io', 'HTTPS:', '//reg.io'],
  ])('%j', (text, host, path) => {
    expect(parseSchemeless(text)).toEqual({ host, path });
  });

  it.each([
    ['a space in the host', 'reg .io'],
    ['a control character', 'reg.io/\n'],
    ['delete', 'reg.io/\u007f'],
    ['a port that is no number', 'reg.io:http'],
    ['two colons', 'reg.io:1:2'],
    ['a zone without a name', '[fe80::1%25]'],
    ['a zone with an escaped slash', '[fe80::1%25a%2fb]'],
    ['a zone behind no address', '[reg%25eth0]'],
    ['a bad escape in the path', 'reg.io/%zz'],
    ['a cut escape in the path', 'reg.io/%4'],
    ['a bad escape in the fragment', 'reg.io#%zz'],
    ['an escaped letter in the host', '%72eg.io'],
    ['a backslash in the host', 'reg\\.io'],
    ['brackets around no address', '[rq]eg.io'],
    ['brackets around a name', '[reg.io]'],
    ['brackets around an IPv4 address', '[10.0.0.1]'],
    ['text before the brackets', 'a[::1]'],
    ['brackets that do not end', '[::1'],
    ['text after the brackets', '[::1]a'],
    ['a bad character before the @', 'us er@reg.io'],
    ['a bad escape before the @', 'us%er@reg.io'],
  ])('is an error: %s', (_, text) => {
    expect(parseSchemeless(text)).toBeUndefined();
  });

  it('works on bytes', () => {
    expect(parseSchemeless(toByteString('reg.io/ä'))).toEqual(parseSchemeless('reg.io/%C3%A4'));
    expect(parseSchemeless(toByteString('\u0105.io'))?.host).toBe('\u00c4\u0085.io');
  });
});

describe("name and port as Go's net.SplitHostPort gives them", () => {
  it.each([
    ['reg.io', 'reg.io', ''],
    ['reg.io:5000', 'reg.io', '5000'],
    ['reg.io:', 'reg.io', ''],
    ['[::1]:5000', '::1', '5000'],
    ['[::1]:', '::1', ''],
    ['[::1]', '[::1]', ''],
    ['a]:80', 'a]:80', ''],
    ['', '', ''],
  ])('%s', (host, name, port) => {
    expect(splitPort(host)).toEqual({ name, port });
  });
});
