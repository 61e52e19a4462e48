import { fetchStats } from './api.js'
import { settings } from './settings.svelte.js'
import { History, readStats } from './stats.js'

const everyMs = 1000

/** Asks the server how it is, every second from the first time the view is opened, while the page is seen. */
class Stats {
  history = new History()
  /** The newest sample, with its rates. */
  now = $state.raw(null)
  problem = $state('')
  #timer = 0
  #started = false

  start() {
    if (this.#started) return
    this.#started = true
    document.addEventListener('visibilitychange', () => this.#ask())
    this.#ask()
  }

  async #ask() {
    clearTimeout(this.#timer)
    if (document.hidden) return
    try {
      const body = await fetchStats(settings.apiKey)
      this.history.add(readStats(body, Date.now() / 1000))
      this.now = this.history.samples.at(-1)
      this.problem = ''
    } catch (error) {
      this.problem = error.message
    }
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#ask(), everyMs)
  }
}

export const stats = new Stats()
