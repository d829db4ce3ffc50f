import { type Command, Option } from 'commander';
import { helpGroupOf } from './groups.ts';
import {
  type CommandName,
  flagOf,
  isOptionName,
  OPTION_LIST,
  type OptionName,
  variableOf,
} from './options.ts';

/** Flags that were given, as text; a list's items parted by commas. */
export type Flags = { readonly [Name in OptionName]?: string };

/** Declares the flags of the configuration that this subcommand takes. */
export function addConfigFlags(command: Command, name: CommandName): Command {
  for (const option of OPTION_LIST) {
    if (!option.commands.includes(name)) continue;
    const shown = option.defaultShown ?? option.default;
    const notes = [
      option.type.allowed,
      ...(shown ? [`default: ${shown}`] : []),
      `env: ${variableOf(option.name)}`,
    ];
    const flag = new Option(
      `${flagOf(option.name)} <${option.type.placeholder}>`,
      `${option.description} (${notes.join('; ')})`,
    );
    flag.helpGroup(helpGroupOf(option.name));
    if (option.hidden) flag.hideHelp();
    if (option.type.isList) flag.argParser(joined);
    command.addOption(flag);
  }
  return command;
}

/** `--list a --list b,c` is `a,b,c`. */
function joined(value: string, before: string | undefined): string {
  return before === undefined ? value : `${before},${value}`;
}

/** The flags of the configuration that were given to a subcommand. */
export function configFlags(command: Command): Flags {
  const given = Object.entries(command.opts<Record<string, unknown>>());
  return Object.fromEntries(given.filter(([name, value]) => isOptionName(name) && typeof value === 'string'));
}
