/** Namespaces by name; `*` stands for any run of characters, also for none. */
export type NamespacePatterns = readonly string[];

/** Which namespaces a mode is enforced in: those that `enforced` names and `exempt` does not. */
export type NamespaceRules = {
  readonly enforceNamespaces: NamespacePatterns;
  readonly exemptNamespaces: NamespacePatterns;
};

/** `exempt` counts also where both name it. `audit`: nobody said that anything is enforced there. */
export function ruleFor(rules: NamespaceRules, namespace: string): 'enforce' | 'exempt' | 'audit' {
  if (isNamed(rules.exemptNamespaces, namespace)) return 'exempt';
  return isNamed(rules.enforceNamespaces, namespace) ? 'enforce' : 'audit';
}

function isNamed(patterns: NamespacePatterns, namespace: string): boolean {
  return patterns.some((pattern) => matches(pattern, namespace));
}

/**
 * Each part between stars is looked for once and from the left, so that no pattern takes more than one pass.
 */
function matches(pattern: string, namespace: string): boolean {
  const [first = '', ...rest] = pattern.split('*');
  const last = rest.pop();
  if (last === undefined) return namespace === pattern;
  if (!namespace.startsWith(first)) return false;
  let at = first.length;
  for (const part of rest) {
    const found = namespace.indexOf(part, at);
    if (found === -1) return false;
    at = found + part.length;
  }
  return namespace.length - last.length >= at && namespace.endsWith(last);
}
