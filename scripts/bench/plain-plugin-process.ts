import type { NriPlugin } from '../../agent/nri/plugin.ts';
import { stayConnected } from '../../agent/nri/stay-connected.ts';
import { REFUSED_NAMESPACE } from './plain-plugin.ts';

/** `node plain-plugin-process.ts SOCKET allow|refuse`: writes a line once it is connected. */
const [, , socketPath = '', answer] = process.argv;
const synchronize = () => void process.stdout.write('connected\n');

const refusing: NriPlugin = {
  synchronize,
  isAsked: ({ namespace }) => namespace === REFUSED_NAMESPACE,
  createContainer: () => Promise.reject(new Error('refused')),
};
const allowing: NriPlugin = { synchronize, createContainer: () => undefined };

stayConnected(answer === 'allow' ? allowing : refusing, { socketPath, index: '00' });
