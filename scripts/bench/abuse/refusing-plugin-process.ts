import type { NriPlugin } from '../../../agent/nri/plugin.ts';
import { stayConnected } from '../../../agent/nri/stay-connected.ts';
import { REFUSED_NAMESPACE } from './refusing-plugin.ts';

/** `node refusing-plugin-process.ts SOCKET`: writes a line once it is connected. */
const plugin: NriPlugin = {
  synchronize: () => process.stdout.write('connected\n'),
  isAsked: ({ namespace }) => namespace === REFUSED_NAMESPACE,
  createContainer: () => Promise.reject(new Error('refused')),
};

stayConnected(plugin, { socketPath: process.argv[2] ?? '', index: '00' });
