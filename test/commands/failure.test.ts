import { CommanderError } from 'commander';
import { describe, expect, it } from 'vitest';
import { describeFailure } from '../../agent/commands/failure.ts';
import {
  CommandError,
  ConfigError,
  EndpointError,
  ListenError,
  PodSourceError,
  RecordStoreError,
  RuntimeError,
} from '../../agent/errors.ts';

describe('what ends a subcommand', () => {
  it.each([
    new ConfigError('invalidValue', 'no'),
    new EndpointError('notFound', 'no'),
    new RecordStoreError('databaseBusy', 'no'),
    new RuntimeError('unreachable', 'no'),
    new PodSourceError('directoryUnreadable', 'no'),
    new ListenError('addressInUse', 'no'),
    new CommandError('ambiguous', 'no'),
  ])('is one line with its reason, and exit code 2: $name', (error) => {
    expect(describeFailure(error, true)).toEqual({ text: `pullwarden: ${error.reason}: no\n`, exitCode: 2 });
  });

  it('is exit code 1 for what is not there', () => {
    expect(describeFailure(new CommandError('notFound', 'no'), false).exitCode).toBe(1);
  });

  it('is one line and exit code 1 for a defect; its stack only at debug', () => {
    const defect = new TypeError('x is\nundefined');
    expect(describeFailure(defect, false)).toEqual({
      text: 'pullwarden: internalError: x is\\nundefined\n',
      exitCode: 1,
    });
    expect(describeFailure(defect, true).text).toContain('failure.test.ts');
    expect(describeFailure('text', false).exitCode).toBe(1);
  });

  it('is no defect when a file may not be read', () => {
    const refused = Object.assign(new Error("EACCES: permission denied, open '/x'"), {
      code: 'EACCES',
      syscall: 'open',
      path: '/x',
    });
    expect(describeFailure(refused, false)).toEqual({
      text: "pullwarden: permissionDenied: EACCES: permission denied, open '/x'\n",
      exitCode: 2,
    });
  });

  it('does not take any error with a reason for one of its own', () => {
    const foreign = Object.assign(new Error('no'), { reason: 'whatever' });
    expect(describeFailure(foreign, false)).toMatchObject({ exitCode: 1 });
  });

  it('is left to commander to say, where commander has said it', () => {
    expect(describeFailure(new CommanderError(1, 'commander.unknownOption', 'x'), false)).toEqual({
      text: '',
      exitCode: 2,
    });
    expect(describeFailure(new CommanderError(0, 'commander.version', 'x'), false).exitCode).toBe(0);
  });
});
