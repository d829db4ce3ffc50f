/** One request as the registry's own access log tells it. */
export interface RegistryRequest {
  /** Second in which the request was logged. */
  time: Date;
  method: string;
  /** Path with query. */
  path: string;
  status: number;
  userAgent: string;
  /** Address of the client, without port. */
  remote: string;
}

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
/** Remote address, time, request line, status, user agent. */
const combined = new RegExp(
  [
    /^(\S+) \S+ \S+/,
    /\[(\d{2})\/(\w{3})\/(\d{4}):(\d{2}:\d{2}:\d{2}) ([+-]\d{2})(\d{2})\]/,
    /"(\S+) (\S+) [^"]*"/,
    /(\d{3}) \d+ "[^"]*"/,
    /"((?:[^"\\]|\\.)*)"$/,
  ]
    .map(({ source }) => source)
    .join(' '),
);

/**
 * Parses one line of Apache's combined format; undefined for any other line (the registry logs both kinds).
 */
export function parseAccessLogLine(line: string): RegistryRequest | undefined {
  const match = combined.exec(line.trim());
  if (match === null) return undefined;
  const [, remote = '', day = '', month = '', year = '', clock = '', hours = '', minutes = ''] = match;
  const [method = '', path = '', status = '', userAgent = ''] = match.slice(8);
  const monthNumber = months.indexOf(month) + 1;
  if (monthNumber === 0) return undefined;
  const zone = `${hours}:${minutes}`;
  const time = new Date(`${year}-${String(monthNumber).padStart(2, '0')}-${day}T${clock}${zone}`);
  return { time, method, path, status: Number(status), userAgent, remote };
}

/** All requests in a log, in the order in which they were logged; an unfinished last line is left out. */
export function parseAccessLog(text: string): RegistryRequest[] {
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  return whole.split('\n').flatMap((line) => parseAccessLogLine(line) ?? []);
}
