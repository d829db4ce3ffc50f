import { describe, expect, it } from 'vitest';
import { yamlToJson } from '../../../agent/credentials/providers/yaml-to-json.ts';
import { ProviderConfigError } from '../../../agent/errors.ts';

describe("YAML as kubelet's go.yaml.in/yaml/v2 reads it", () => {
  it.each([
    ['a: yes', '{"a":true}'],
    ['a: n', '{"a":false}'],
    ['a: "yes"', '{"a":"yes"}'],
    ["a: '1'", '{"a":"1"}'],
    ['a: !!str 1', '{"a":"1"}'],
    ['a: |\n  1\n', '{"a":"1\\n"}'],
    ['a: ~', '{"a":null}'],
    ['a:', '{"a":null}'],
    ['a: 1_000', '{"a":0}'],
    ['a: 0x1F', '{"a":0}'],
    ['a: .inf', '{"a":0}'],
    ['a: 1.2.3', '{"a":"1.2.3"}'],
    ['a: 1:30', '{"a":"1:30"}'],
    ['a: 2026-01-02', '{"a":"2026-01-02"}'],
    ['a: .', '{"a":"."}'],
    ['a: 123456789012.dkr.ecr.example', '{"a":"123456789012.dkr.ecr.example"}'],
    ['1: x', '{"1":"x"}'],
    ['a: 1\na: 2', '{"a":0,"a":0}'],
    ['x: &x {a: t}\ny:\n  <<: *x\n  b: t', '{"x":{"a":"t"},"y":{"a":"t","b":"t"}}'],
    ['x: &x {a: t}\ny:\n  <<: *x\n  a: t', '{"x":{"a":"t"},"y":{"a":"t","a":"t"}}'],
    ['x: &x [a]\ny: [*x, *x]', '{"x":["a"],"y":[["a"],["a"]]}'],
    ['--- {a: t}\n---\n{{{', '{"a":"t"}'],
    ['', 'null'],
    ['# nothing', 'null'],
    ['\ufeff{"a":"t"}', '{"a":"t"}'],
  ])('%j', (yaml, json) => {
    expect(yamlToJson(yaml)).toBe(json);
  });

  it.each([
    ['a bad indentation', 'a: b\n\tc: d'],
    ['an alias without an anchor', 'a: *x'],
    ['an anchor that contains itself', 'a: &a [*a]'],
    ['a map for a name', '{a: b}: c'],
    ['what is merged being no map', 'x: &x t\ny:\n  <<: *x'],
    ['a control character', 'a: \u0007'],
  ])('%s is malformed', (_, yaml) => {
    expect(() => yamlToJson(yaml)).toThrow(ProviderConfigError);
  });
});
