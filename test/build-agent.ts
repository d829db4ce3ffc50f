import { buildAgent } from '../scripts/story/program-of-image.ts';

/** Before all tests: nodes and clusters have the agent as its image has it, bundled and without a compiler. */
export default buildAgent;
