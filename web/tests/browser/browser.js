/** Debian's chromium, driven by playwright-core. */
import { existsSync } from 'node:fs'
import { chromium } from 'playwright-core'

export const executable = process.env.CADRE_CHROMIUM ?? '/usr/bin/chromium'
export const haveChromium = () => existsSync(executable)

export const launch = () =>
  chromium.launch({
    executablePath: executable,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
