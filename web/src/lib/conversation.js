/**
 * A conversation is a tree of messages, so that editing and answering again lose nothing: each message names
 * the one it follows, `head` is the last message shown, and what is shown is the path from the root to it.
 * Plain data and functions; the store around them is conversations.svelte.js.
 *
 * @typedef {{id: string, parent: string|null, role: 'user'|'assistant', content: string, created: number,
 *   reasoning?: string, model?: string, finish?: string, error?: {message: string, status: number, code: string,
 *   retryAfter: number|null},
 *   timing?: {firstTokenMs?: number, thoughtMs?: number, tokensPerSecond?: number, tokens?: number,
 *   cached?: number, prompt?: number}}} Message
 * @typedef {{id: string, title: string, named: boolean, created: number, updated: number, head: string|null,
 *   messages: Message[]}} Conversation
 */

export const newId = () => crypto.randomUUID?.() ?? randomId()

// On plain HTTP to another machine, browsers withhold randomUUID.
const randomId = () =>
  [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('')

/** @returns {Conversation} */
export function newConversation(now = Date.now()) {
  return { id: newId(), title: 'New conversation', named: false, created: now, updated: now, head: null, messages: [] }
}

/** The messages shown, oldest first. @param {Conversation} conversation @returns {Message[]} */
export function pathOf(conversation) {
  const byId = new Map(conversation.messages.map((message) => [message.id, message]))
  const path = []
  for (let at = byId.get(conversation.head); at && path.length < byId.size; at = byId.get(at.parent)) path.push(at)
  return path.reverse()
}

/** Every version of a message: those that follow the same one. */
export const versionsOf = (conversation, message) =>
  conversation.messages.filter((other) => other.parent === message.parent && other.role === message.role)

/** Shows a version of a message, with the newest of what followed it. */
export function showVersion(conversation, id) {
  let head = id
  for (;;) {
    const next = conversation.messages.findLast((message) => message.parent === head)
    if (!next) break
    head = next.id
  }
  conversation.head = head
}

/** Adds a message after `parent` and shows it. -> the message as the conversation holds it */
export function addMessage(conversation, parent, fields, now = Date.now()) {
  conversation.messages.push({ id: newId(), parent, content: '', created: now, ...fields })
  const message = conversation.messages.at(-1)
  conversation.head = message.id
  conversation.updated = now
  if (!conversation.named && parent === null && message.role === 'user') {
    conversation.title = titleOf(message.content)
  }
  return message
}

export function titleOf(text, limit = 48) {
  const line = text.replace(/[#*_`>~\s]+/g, ' ').trim()
  const letters = [...line]
  if (letters.length <= limit) return line || 'New conversation'
  const cut = letters.slice(0, limit).join('')
  return `${cut.replace(/\s+\S{0,12}$/, '')}…`
}

/** What the model is given: answers that failed before their first word are left out. */
export function promptOf(messages, system) {
  const said = messages.filter((message) => message.role === 'user' || message.content !== '')
  const prompt = said.map(({ role, content }) => ({ role, content }))
  return system.trim() ? [{ role: 'system', content: system }, ...prompt] : prompt
}

export function toMarkdown(conversation) {
  const parts = pathOf(conversation).map(
    (message) => `## ${message.role === 'user' ? 'You' : (message.model ?? 'Answer')}\n\n${message.content.trim()}\n`,
  )
  return `# ${conversation.title}\n\n${parts.join('\n')}`
}

const isText = (value) => typeof value === 'string'

/** Data of unknown origin as a conversation; null if it is none. @returns {Conversation|null} */
export function readConversation(data) {
  if (typeof data !== 'object' || data === null || !isText(data.id) || !Array.isArray(data.messages)) return null
  const seen = new Set()
  const messages = []
  for (const message of data.messages) {
    const fine =
      isText(message?.id) &&
      !seen.has(message.id) &&
      (message.parent === null || seen.has(message.parent)) && // parents come first: no loops
      (message.role === 'user' || message.role === 'assistant') &&
      isText(message.content)
    if (!fine) continue
    seen.add(message.id)
    messages.push(message)
  }
  const created = Number(data.created) || 0
  return {
    id: data.id,
    title: isText(data.title) ? data.title : 'Conversation',
    named: data.named === true,
    created,
    updated: Number(data.updated) || created,
    head: seen.has(data.head) ? data.head : (messages.at(-1)?.id ?? null),
    messages,
  }
}
