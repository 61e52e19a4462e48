// Runs the tests of this folder against the program that CADRE_PROGRAM names, or says why it does not.
import {spawnSync} from 'node:child_process';
import {existsSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';

const folder = dirname(fileURLToPath(import.meta.url));
const kSkipped = 77;

function skip(reason) {
  console.log(`clients: Skipped\n${reason}`);
  process.exit(kSkipped);
}

if (Number(process.versions.node.split('.')[0]) < 20) skip('API clients: node 20 or later is needed');
if (!existsSync(join(folder, 'node_modules', '.package-lock.json')))
  skip('API clients are not installed: npm ci in tests/clients');
const run = spawnSync(process.execPath, ['--test', folder], {stdio: 'inherit'});
process.exit(run.status ?? 1);
