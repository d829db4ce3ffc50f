import type { Command, Option } from 'commander';

/** How kubectl asks a plugin what may come next (`kubectl_complete-NAME`, cobra's `__complete`). */
const NO_FILES = ':4';
const FILES = ':0';

/**
 * What may stand for the last of `words`, as kubectl reads it: a line for each with its description, and what
 * the shell is to do about files.
 */
export function kubectlCompletions(program: Command, words: readonly string[]): string {
  const current = words.at(-1) ?? '';
  const before = words.slice(0, -1);
  const command = program.commands.find((one) => one.name() === before[0]);
  const flag = command?.options.find((option) => takesValue(option) && isNamed(option, before.at(-1) ?? ''));
  if (flag !== undefined) {
    const values = flag.argChoices ?? [];
    return answer(
      values.map((value) => [value, '']),
      current,
      values.length === 0 && flag.long === '--kubeconfig' ? FILES : NO_FILES,
    );
  }
  const offered =
    command === undefined
      ? program.commands
          .filter((one) => !isHidden(one))
          .map((one) => [one.name(), one.description()] as const)
      : command.options.map((option) => [option.long ?? option.flags, option.description] as const);
  return answer(offered, current, NO_FILES);
}

function answer(
  offered: readonly (readonly [word: string, description: string])[],
  current: string,
  directive: string,
): string {
  const lines = offered
    .filter(([word]) => word.startsWith(current))
    .map(([word, description]) => (description === '' ? word : `${word}\t${description}`));
  return `${[...lines, directive].join('\n')}\n`;
}

function takesValue({ required, optional }: Option): boolean {
  return required || optional;
}

function isNamed({ long, short }: Option, word: string): boolean {
  return word !== '' && (word === long || word === short);
}

/** Commander does not tell which commands are hidden; ours begin so. */
function isHidden(command: Command): boolean {
  return command.name().startsWith('__');
}
