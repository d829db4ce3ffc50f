import type { Command } from 'commander';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;

export type Shell = (typeof SHELLS)[number];

/** One flag: `--output`, `-o`, and the values that it takes where they are a closed list. */
type Flag = {
  readonly names: readonly string[];
  readonly description: string;
  readonly takesValue: boolean;
  readonly values: readonly string[];
};

/** One command by its words, as `records list`; empty for the program itself. */
type Entry = {
  readonly path: string;
  readonly subcommands: readonly { readonly name: string; readonly description: string }[];
  readonly flags: readonly Flag[];
  /** What its first operand may be, where that is a closed list. */
  readonly operands: readonly string[];
};

/** The completion script of a program for a shell, made from what the program declares. */
export function completionScript(shell: Shell, program: Command): string {
  const entries = entriesOf(program, []);
  switch (shell) {
    case 'bash':
      return bashScript(program.name(), entries);
    case 'zsh':
      // zsh reads bash's completions, where it is asked to.
      return (
        `#compdef ${program.name()}\nautoload -U +X bashcompinit && bashcompinit\n` +
        bashScript(program.name(), entries)
      );
    case 'fish':
      return fishScript(program.name(), entries);
  }
}

function entriesOf(command: Command, path: readonly string[]): Entry[] {
  const flags = command.options
    .filter(({ hidden }) => !hidden)
    .map(
      (option): Flag => ({
        names: [option.long, option.short].filter((name) => typeof name === 'string'),
        description: option.description.split(' (')[0] ?? '',
        takesValue: option.required || option.optional,
        values: option.argChoices ?? [],
      }),
    );
  const subcommands = command.commands.map((one) => ({ name: one.name(), description: one.description() }));
  return [
    {
      path: path.join(' '),
      subcommands,
      flags,
      operands: command.registeredArguments[0]?.argChoices ?? [],
    },
    ...command.commands.flatMap((one) => entriesOf(one, [...path, one.name()])),
  ];
}

function bashScript(name: string, entries: readonly Entry[]): string {
  const functionName = `_${name.replaceAll('-', '_')}`;
  const words = entries.map(({ path, subcommands, flags, operands }) => {
    const all = [...subcommands.map((one) => one.name), ...operands, ...flags.flatMap(({ names }) => names)];
    return `    '${path}') words='${all.join(' ')}' ;;`;
  });
  const values = entries.flatMap(({ path, flags }) =>
    flags.flatMap(({ names, values: choices, takesValue }) =>
      takesValue ? names.map((flag) => `    '${path} ${flag}') values='${choices.join(' ')}' ;;`) : [],
    ),
  );
  const subcommands = entries.flatMap(({ path, subcommands: below }) =>
    below.map((one) => `'${`${path} ${one.name}`.trim()}'`),
  );
  return `# ${name}: completion for bash
${functionName}() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} path='' word words='' values=none
  for word in "\${COMP_WORDS[@]:1:$((COMP_CWORD-1))}"; do
    case "\${path:+$path }$word" in
    ${subcommands.join(' | ')}) path="\${path:+$path }$word" ;;
    esac
  done
  case "$path $previous" in
${values.join('\n')}
    *) ;;
  esac
  if [ "$values" != none ]; then
    if [ -n "$values" ]; then COMPREPLY=($(compgen -W "$values" -- "$current"))
    else COMPREPLY=($(compgen -f -- "$current")); fi
    return
  fi
  case "$path" in
${words.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -F ${functionName} ${name}
`;
}

function fishScript(name: string, entries: readonly Entry[]): string {
  const lines = entries.flatMap(({ path, subcommands, flags, operands }) => {
    const condition = fishCondition(
      path,
      subcommands.map((one) => one.name),
    );
    const begin = `complete -c ${name} -n ${fishQuoted(condition)}`;
    return [
      ...(operands.length > 0 ? [`${begin} -f -a ${fishQuoted(operands.join(' '))}`] : []),
      ...subcommands.map((one) => `${begin} -f -a ${one.name} -d ${fishQuoted(one.description)}`),
      ...flags.map(({ names, description, takesValue, values }) => {
        const spelled = names.map((flag) =>
          flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`,
        );
        const argument = takesValue
          ? ` -r${values.length > 0 ? ` -f -a ${fishQuoted(values.join(' '))}` : ''}`
          : '';
        return `${begin} ${spelled.join(' ')}${argument} -d ${fishQuoted(description)}`;
      }),
    ];
  });
  return `# ${name}: completion for fish\n${lines.join('\n')}\n`;
}

/** Holds on a command line whose words so far are this command's. */
function fishCondition(path: string, below: readonly string[]): string {
  const seen = path.split(' ').filter((word) => word !== '');
  const not = below.length > 0 ? `; and not __fish_seen_subcommand_from ${below.join(' ')}` : '';
  const all = seen.map((word) => `__fish_seen_subcommand_from ${word}`).join('; and ');
  if (all !== '') return `${all}${not}`;
  return '__fish_use_subcommand';
}

function fishQuoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
