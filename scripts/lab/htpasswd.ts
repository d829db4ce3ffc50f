import { randomBytes } from 'node:crypto';
import { rename, writeFile } from 'node:fs/promises';
import { runCommand } from './command.ts';

const bcryptAlphabet = './ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

/** A password fit for every place a test may put it: URL, JSON, shell. */
export function randomPassword(): string {
  return randomBytes(15).toString('base64url');
}

function salt(): string {
  const letters = [...randomBytes(21)].map((byte) => bcryptAlphabet[byte % 64] ?? '.');
  // Only the two highest bits of the 22nd letter count; '.' is a form every implementation accepts.
  return `${letters.join('')}.`;
}

/**
 * Lines of an htpasswd file with bcrypt hashes (the only kind docker-registry takes), made by the C library's
 * crypt(3) by way of perl, which every Debian has. Cost 5: a lab's logins should not cost 100 ms each.
 * @throws {CommandFailed} when perl is missing or its crypt knows no bcrypt.
 */
export async function htpasswdLines(users: Record<string, string>): Promise<string> {
  const entries = Object.entries(users);
  const program =
    'while (<STDIN>) { chomp; my ($user, $salt, $password) = split /\\t/; my $hash = crypt($password, $salt);' +
    ' die "no bcrypt" unless defined $hash && length $hash == 60; print "$user:$hash\\n"; }';
  const input = entries.map(([user, password]) => `${user}\t$2y$05$${salt()}\t${password}\n`).join('');
  return runCommand('perl', ['-e', program], { input });
}

/** Replaces the file in one step, so that the registry never reads half of it. */
export async function writeHtpasswd(path: string, users: Record<string, string>): Promise<void> {
  await writeFile(`${path}.new`, await htpasswdLines(users), { mode: 0o600 });
  await rename(`${path}.new`, path);
}
