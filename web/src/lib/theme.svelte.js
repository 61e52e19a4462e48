/** Light, dark, or as the system has it. */
import { browserStorage } from './storage.js'

const storage = browserStorage()

export const themes = ['system', 'light', 'dark']

class Theme {
  #chosen = $state(themes.includes(storage.read('theme')) ? storage.read('theme') : 'system')
  #systemDark = $state(false)

  constructor() {
    const query = matchMedia('(prefers-color-scheme: dark)')
    this.#systemDark = query.matches
    query.addEventListener('change', () => (this.#systemDark = query.matches))
    this.#show()
  }

  get chosen() {
    return this.#chosen
  }

  set chosen(value) {
    this.#chosen = value
    storage.write('theme', value)
    this.#show()
  }

  /** What is seen now; charts, which are painted, follow it. */
  get dark() {
    return this.#chosen === 'dark' || (this.#chosen === 'system' && this.#systemDark)
  }

  #show() {
    const root = document.documentElement
    if (this.#chosen === 'system') delete root.dataset.theme
    else root.dataset.theme = this.#chosen
  }
}

export const theme = new Theme()
