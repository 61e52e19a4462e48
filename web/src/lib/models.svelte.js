/** Which models the server has, and whether it answers at all. */
import { fetchModels } from './api.js'
import { settings } from './settings.svelte.js'
import { browserStorage } from './storage.js'

const storage = browserStorage()

class Models {
  ids = $state([])
  /** @type {'asking'|'ready'|'refused'|'away'} */
  state = $state('asking')
  message = $state('')
  #chosen = $state(storage.read('model', null))
  #timer = 0

  /** The model that the next answer comes from; null while none is known. */
  get current() {
    return this.ids.includes(this.#chosen) ? this.#chosen : (this.ids[0] ?? null)
  }

  choose(id) {
    this.#chosen = id
    storage.write('model', id)
  }

  /** Asks the server; while it does not answer, again every few seconds. */
  async refresh() {
    clearTimeout(this.#timer)
    try {
      this.ids = await fetchModels(settings.apiKey)
      this.state = 'ready'
      this.message = this.ids.length > 0 ? '' : 'The server has no model.'
    } catch (error) {
      this.state = error.status === 401 || error.status === 403 ? 'refused' : 'away'
      this.message = error.message
    }
    if (this.state === 'away') this.#timer = setTimeout(() => this.refresh(), 4000)
  }
}

export const models = new Models()
