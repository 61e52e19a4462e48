/** The committed page is what the sources give: builds them elsewhere and compares the bytes. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'vite'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = await mkdtemp(join(tmpdir(), 'cadre-web-'))
try {
  await build({ root, logLevel: 'warn', build: { outDir: folder, emptyOutDir: true } })
  const [built, committed] = await Promise.all([folder, join(root, 'dist')].map((path) => readFile(join(path, 'index.html'))))
  if (built.equals(committed)) {
    console.log(`web/dist/index.html is what the sources give (${built.length} bytes)`)
  } else {
    console.error(`web/dist/index.html is not what the sources give: run "npm ci && npm run build" in web/ and commit it`)
    process.exitCode = 1
  }
} finally {
  await rm(folder, { recursive: true })
}
