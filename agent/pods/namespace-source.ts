/** Whether namespaces are there. Implementation: kubernetes/namespaces.ts. */
export interface NamespaceSource {
  /** `unknown`: this agent may not tell, or nobody can now. Never throws for an API server that is away. */
  isThere(name: string): Promise<boolean | 'unknown'>;
}

/** Where pods come from a folder there are no namespaces to ask for. */
export const NO_NAMESPACES: NamespaceSource = { isThere: async () => 'unknown' };
