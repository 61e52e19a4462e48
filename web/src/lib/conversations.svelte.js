/** The conversations kept in this browser, each under a key of its own, and which of them is open. */
import { newConversation, readConversation } from './conversation.js'
import { browserStorage } from './storage.js'

const storage = browserStorage()
const keyOf = (id) => `conversation.${id}`

class Conversations {
  /** Newest first. */
  list = $state([])
  /** The browser refused to keep something: its storage is full, or switched off. */
  unsaved = $state(false)
  #currentId = $state(null)
  // Not in the list, nor stored, until something is said.
  #draft = $state(newConversation())

  constructor() {
    this.list = storage
      .names('conversation.')
      .map((name) => readConversation(storage.read(name, null)))
      .filter((conversation) => conversation !== null)
    this.#sort()
    const open = storage.read('current', null)
    if (this.list.some(({ id }) => id === open)) this.#currentId = open
    // Another tab of the page has saved or deleted.
    addEventListener('storage', (event) => {
      if (event.key?.startsWith('cadre.conversation.')) this.#reload(event.key.slice('cadre.conversation.'.length))
    })
  }

  get current() {
    return this.list.find(({ id }) => id === this.#currentId) ?? this.#draft
  }

  open(id) {
    this.#currentId = id
    storage.write('current', id)
  }

  startNew() {
    this.#draft = newConversation()
    this.open(null)
  }

  /** Keeps a conversation as it is now. */
  save(conversation) {
    if (conversation.messages.length === 0) return
    if (conversation.id === this.#draft.id && !this.list.some(({ id }) => id === conversation.id)) {
      this.list.unshift(conversation)
      if (this.#currentId === null) this.open(conversation.id)
      this.#draft = newConversation()
    }
    this.#sort()
    this.unsaved = !storage.write(keyOf(conversation.id), conversation)
  }

  rename(conversation, title) {
    const name = title.trim()
    if (!name) return
    conversation.title = name
    conversation.named = true
    this.save(conversation)
  }

  remove(conversation) {
    storage.remove(keyOf(conversation.id))
    this.list = this.list.filter(({ id }) => id !== conversation.id)
    if (conversation.id === this.#currentId) this.startNew()
  }

  #sort() {
    const sorted = this.list.every((item, at) => at === 0 || this.list[at - 1].updated >= item.updated)
    if (!sorted) this.list = this.list.toSorted((a, b) => b.updated - a.updated)
  }

  #reload(id) {
    const stored = readConversation(storage.read(keyOf(id), null))
    const others = this.list.filter((item) => item.id !== id)
    this.list = stored ? [stored, ...others] : others
    this.#sort()
  }
}

export const conversations = new Conversations()
