import { createHash } from 'node:crypto'
import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig } from 'vite'
import { viteSingleFile } from 'vite-plugin-singlefile'

const hash = (text) => `'sha256-${createHash('sha256').update(text, 'utf8').digest('base64')}'`

/** The contents of every inline element of a name. */
const inline = (html, name) =>
  [...html.matchAll(new RegExp(`<${name}(?:\\s[^>]*)?>([\\s\\S]*?)</${name}>`, 'g'))].map((match) => match[1])

/**
 * Writes the content security policy: only the scripts and styles of this very file run, requests go to the
 * server that the page came from, and strings become HTML only through Svelte's templates and the sanitiser.
 */
function contentSecurityPolicy() {
  return {
    name: 'content-security-policy',
    enforce: 'post',
    generateBundle: {
      order: 'post',
      handler(_, bundle) {
        const page = bundle['index.html']
        const policy = [
          "default-src 'none'",
          `script-src ${inline(page.source, 'script').map(hash).join(' ')}`,
          `style-src ${inline(page.source, 'style').map(hash).join(' ')}`,
          "connect-src 'self'",
          'img-src data:',
          "base-uri 'none'",
          "form-action 'none'",
          "require-trusted-types-for 'script'",
          'trusted-types svelte-trusted-html dompurify',
        ].join('; ')
        page.source = page.source.replace(
          '<meta charset="utf-8" />',
          (charset) => `${charset}\n    <meta http-equiv="Content-Security-Policy" content="${policy}" />`,
        )
      },
    },
  }
}

export default defineConfig({
  plugins: [
    svelte({
      onwarn(warning) {
        throw new Error(`${warning.filename}: ${warning.message}`)
      },
    }),
    viteSingleFile({ removeViteModuleLoader: true }),
    contentSecurityPolicy(),
  ],
  build: {
    target: 'es2022',
    modulePreload: false,
    reportCompressedSize: true,
  },
  server: {
    // `npm run dev` beside a running server.
    proxy: Object.fromEntries(
      ['/v1', '/cadre', '/health'].map((path) => [path, process.env.CADRE_URL ?? 'http://127.0.0.1:8000']),
    ),
  },
})
