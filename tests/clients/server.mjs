// A `cadre serve` on the bundled model for the tests of one file.
import {spawn} from 'node:child_process';

/// Starts the program. -> {url, stop()}
export async function startServer(...flags) {
  const program = process.env.CADRE_PROGRAM;
  if (!program) throw new Error('CADRE_PROGRAM must name the program');
  const child = spawn(program, ['serve', '--port', '0', '--threads', '1', ...flags],
                      {stdio: ['ignore', 'ignore', 'pipe']});
  let log = '';
  const url = await new Promise((resolve, reject) => {
    child.stderr.on('data', (data) => {
      log += data;
      const found = /listening on (http:\S+)/.exec(log);
      if (found) resolve(found[1]);
    });
    child.on('exit', (code) => reject(new Error(`cadre serve ended with ${code}: ${log}`)));
  });
  for (;;) {
    const health = await fetch(`${url}/health`);
    await health.text();
    if (health.ok) break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const stop = () => new Promise((resolve) => {
    child.removeAllListeners('exit');
    child.on('exit', (code) => resolve(code));
    child.kill('SIGTERM');
  });
  return {url, stop};
}
