// A `cadre serve` on the bundled model for the tests of one file.
import {execFileSync, spawn} from 'node:child_process';
import {copyFileSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';

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

/// A model of random weights whose chat template knows tools. What it says has no sense, so that an answer which
/// keeps to a schema owes that to the server. -> {folder, remove()}
export function makeToolModel() {
  const scratch = mkdtempSync(join(tmpdir(), 'cadre-clients-'));
  const shape = join(scratch, 'shape.json');
  const folder = join(scratch, 'random');
  writeFileSync(shape, JSON.stringify({
    model_type: 'llama', vocab_size: 300, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1,
    num_attention_heads: 2, num_key_value_heads: 2, max_position_embeddings: 8192, rms_norm_eps: 1e-6,
    rope_theta: 10000, bos_token_id: 298, eos_token_id: 299,
  }));
  execFileSync(process.env.CADRE_PROGRAM, ['init', shape, folder], {stdio: 'ignore'});
  copyFileSync(new URL('tools.jinja', import.meta.url), join(folder, 'chat_template.jinja'));
  return {folder, remove: () => rmSync(scratch, {recursive: true})};
}
