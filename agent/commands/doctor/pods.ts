import { openDirectoryPodSource } from '../../pods/directory.ts';
import { type Finding, failure, messageOf, ok, warning } from './finding.ts';

/** Can pods and secrets be read? */
export async function checkPods(directory: string | undefined): Promise<Finding> {
  if (directory === undefined) {
    const advice = 'name the folder of manifests with --pods-directory';
    return warning('pods', 'no source of pods is configured', advice);
  }
  const source = openDirectoryPodSource({ directory, onProblem: () => {} });
  try {
    await source.start();
    const problem = source.problem();
    return problem === undefined
      ? ok('pods', `${directory} can be read`)
      : failure(
          'pods',
          problem,
          'correct these files: their pods count as unmanaged, their secrets as unreadable',
        );
  } catch (error) {
    return failure('pods', messageOf(error), 'see whether --pods-directory is right and mounted');
  } finally {
    await source.stop();
  }
}
