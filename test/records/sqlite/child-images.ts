/** Names that the process to be killed and the test that kills it agree on. */
export function imageOf(number: number): string {
  return `reg.example.com/team-${number}/app:1`;
}

export function refOf(number: number): string {
  return `sha256:${number.toString(16).padStart(64, '0')}`;
}
