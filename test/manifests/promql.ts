import { parser } from '@prometheus-io/lezer-promql';

/** `metric{label="value"}` as it stands in a query. */
export type Selector = {
  readonly metric: string;
  readonly matchers: readonly Matcher[];
};

export type Matcher = {
  readonly label: string;
  readonly operator: string;
  /** Without its quotes; no query here has a quote in a value. */
  readonly value: string;
};

export type Query = {
  readonly selectors: readonly Selector[];
  /** Of every `by`, `on` and the like. */
  readonly groupingLabels: readonly string[];
};

/** What a PromQL query names, by Prometheus' own grammar. Throws SyntaxError. */
export function readQuery(query: string): Query {
  const selectors: { metric: string; matchers: Matcher[] }[] = [];
  const groupingLabels: string[] = [];
  parser.parse(query).iterate({
    enter({ name, type, from, to, node }) {
      const text = query.slice(from, to);
      if (type.isError) throw new SyntaxError(`at ${from}: ${query}`);
      if (name === 'VectorSelector') selectors.push({ metric: '', matchers: [] });
      const selector = selectors.at(-1);
      if (name === 'Identifier' && node.parent?.name === 'VectorSelector' && selector) selector.metric = text;
      if (name === 'UnquotedLabelMatcher') {
        const [, label = '', operator = '', value = ''] = /^(\w+)\s*(=~|!~|!=|=)\s*"(.*)"$/.exec(text) ?? [];
        selector?.matchers.push({ label, operator, value });
      }
      if (name === 'LabelName' && node.parent?.name === 'GroupingLabels') groupingLabels.push(text);
    },
  });
  return { selectors, groupingLabels };
}
