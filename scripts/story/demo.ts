import { listRecords } from '../../agent/commands/records/list-show-forget.ts';
import { sweep } from '../lab/cleanup.ts';
import { LabError } from '../lab/errors.ts';
import { startLyingRegistry } from '../lab/lying-registry.ts';
import { startNode } from '../lab/node.ts';
import { type ContainerdSeries, containerdVersions, parseSeries } from '../lab/programs.ts';
import type { AgentProcess } from './agent-process.ts';
import { type DemoNode, demoNode, startDemoAgent } from './demo-node.ts';
import { tellGuarded } from './guarded.ts';
import { openScreen, type Screen } from './screen.ts';
import { openStage, type Stage } from './stage.ts';
import { play, prepareStory, type Step } from './story.ts';
import { toldStep } from './tell.ts';
import { tellUnguarded } from './unguarded.ts';

/**
 * The tenants' story on a real containerd with real private registries, told as it happens:
 * `scripts/demo [1.6|1.7|2]`. Exit code 0: everything went as promised; 1: it did not, or could not be shown;
 * 2: usage; 130: Ctrl-C.
 */
const USAGE = 'usage: scripts/demo [1.6|1.7|2]';
/** Of the story without NRI, what the epilogue shows. */
const EPILOGUE: readonly string[] = [
  'A pulls its private image and runs it',
  'B, without a secret, starts a container from it',
  'B tries again with Never',
];

type Show = { readonly screen: Screen; readonly stage: Stage };
type Count = { readonly steps: number; readonly broken: number };

/** The series to show, the newest first. */
async function offered(asked: string | undefined): Promise<readonly ContainerdSeries[]> {
  const versions = await containerdVersions();
  const available = versions.filter((one) => one.available).map(({ containerd }) => containerd);
  const wanted = asked === undefined ? undefined : parseSeries(asked);
  const found = (wanted === undefined ? available : available.filter((one) => one === wanted)).toReversed();
  if (found.length > 0) return found;
  const reason = versions.find((one) => wanted === undefined || one.containerd === wanted)?.reason;
  throw new LabError(`no containerd can be had here: ${reason ?? ''}`);
}

async function tellStory(asked: string | undefined, show: Show): Promise<boolean> {
  const { screen } = show;
  screen.progress('looking for programs; the first time they are fetched from Debian');
  await sweep();
  const [newest, ...others] = await offered(asked);
  if (newest === undefined) return false;
  const counts = newest === '1.6' ? [] : [await tellWithVeto(newest, show)];
  if (newest === '1.6')
    counts.push(await tellWithGuard('The guard: a runtime without NRI', show, () => true));
  else if (asked === undefined && others.includes('1.6')) {
    const isShown = ({ title }: Step): boolean => EPILOGUE.includes(title);
    counts.push(await tellWithGuard('Epilogue · The guard, where the runtime has no NRI', show, isShown));
  }
  const steps = counts.reduce((sum, count) => sum + count.steps, 0);
  const broken = counts.reduce((sum, count) => sum + count.broken, 0);
  screen.say();
  screen.say(`${steps - broken} of ${steps} steps went as promised. Clearing everything away.`);
  return broken === 0;
}

async function bringUp(
  containerd: ContainerdSeries,
  nri: boolean,
  { screen, stage }: Show,
): Promise<DemoNode> {
  const started = startNode({ containerd, nri, onProgress: screen.progress });
  const place = await demoNode(await stage.node(started));
  screen.say(`A node with containerd ${place.node.version}, three registries, and tenants A to G.`);
  return place;
}

async function tellWithVeto(series: ContainerdSeries, show: Show): Promise<Count> {
  const place = await bringUp(series, true, show);
  const liar = await startLyingRegistry();
  show.stage.add(() => liar.close());
  await place.node.addRegistry(liar.host);
  const earlier = await tellUnguarded(place, liar, show.screen);
  const { agent, steps, broken } = await tellGuarded(place, liar, earlier, show);
  await tellRecords(place, agent, show.screen);
  await agent.stop();
  return { steps, broken };
}

async function tellWithGuard(title: string, show: Show, isShown: (step: Step) => boolean): Promise<Count> {
  const { screen, stage } = show;
  screen.title(title);
  const place = await bringUp('1.6', false, show);
  screen.meanwhile('starting the agent');
  const steps = (await prepareStory(place.node)).filter(isShown);
  // containerd 1.6 sends no events, so containers are found by listing: every 10 s by default, here more
  // often.
  const agent = await startDemoAgent(place, stage, ['--poll-interval', '500ms']);
  screen.say(
    'Here a container runs until its verdict: the runtime is asked for its containers twice a second.',
  );
  let broken = 0;
  for (const step of steps) {
    screen.meanwhile(step.title);
    const result = await play(step, place.node, agent, place.podsDirectory);
    if (!result.kept) broken += 1;
    screen.step(toldStep(result));
  }
  await agent.stop();
  return { steps: steps.length, broken };
}

async function tellRecords({ stateDir }: DemoNode, agent: AgentProcess, screen: Screen): Promise<void> {
  screen.title('What the agent knows now');
  screen.say('pullwarden records list (whose secret was good for what; no credentials):');
  const print = Object.assign(screen.print, { terminal: screen.terminal });
  listRecords({ stateDir }, { output: 'table', print });
  screen.say(
    "What F's registry grants under its own name is on record, too: that is its right. Its content it never " +
      'showed, so nobody runs it.',
  );
  screen.say();
  screen.say('Its metrics:');
  const { body } = await agent.get('/metrics');
  const counters = body
    .split('\n')
    .filter((line) => /^pullwarden_(verdicts|enforcements)_total.* [1-9]/.test(line));
  screen.print(`${counters.join('\n')}\n`);
}

async function main(operands: readonly string[]): Promise<number> {
  const [asked, ...more] = operands;
  if (asked === '--help' || asked === '-h') {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  if (more.length > 0 || (asked !== undefined && !/^(1\.6|1\.7|2)$/.test(asked))) {
    process.stderr.write(`${USAGE}\n`);
    return 2;
  }
  const show = { screen: openScreen(process.stdout, process.env), stage: openStage() };
  const interrupted = clearAwayOnSignal(show);
  try {
    const kept = await tellStory(asked, show);
    return kept ? 0 : 1;
  } catch (error) {
    // What fails because it is being cleared away under its hands is no news.
    if (interrupted()) return 130;
    if (!(error instanceof LabError)) throw error;
    process.stderr.write(`demo: ${error.message}\n`);
    return 1;
  } finally {
    await show.stage.clear();
  }
}

/** Returns whether there was one. The process ends when everything is gone, whatever is still under way. */
function clearAwayOnSignal({ screen, stage }: Show): () => boolean {
  let interrupted = false;
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      if (!interrupted) process.stderr.write(`\n${name}: clearing everything away …\n`);
      interrupted = true;
      screen.close();
      void stage.clear().finally(() => process.exit(130));
    });
  }
  return () => interrupted;
}

// A reader that has gone (`scripts/demo | head`) must not keep the node from being cleared away.
process.stdout.on('error', () => {});
process.exitCode = await main(process.argv.slice(2));
