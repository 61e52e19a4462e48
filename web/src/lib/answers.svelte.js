/** The answers being written, at most one to a conversation; each goes on while another conversation is open. */
import { tick } from 'svelte'
import { SvelteMap } from 'svelte/reactivity'
import { announcer } from './announcer.svelte.js'
import { streamChat } from './api.js'
import { addMessage, pathOf, promptOf } from './conversation.js'
import { conversations } from './conversations.svelte.js'
import { models } from './models.svelte.js'
import { samplingOf } from './settings.js'
import { settings } from './settings.svelte.js'

// As often as text is shown, and as often as it is kept.
const showEveryMs = 40
const saveEveryMs = 2000

class Answers {
  /** conversation id -> {messageId, controller} */
  #running = new SvelteMap()

  /** The id of the message being written in a conversation, if any. */
  writing(conversation) {
    return this.#running.get(conversation.id)?.messageId
  }

  stop(conversation) {
    this.#running.get(conversation.id)?.controller.abort()
  }

  /** Says something in a conversation, after `parent`, and has it answered. */
  async send(conversation, parent, content) {
    if (this.writing(conversation)) return
    const message = addMessage(conversation, parent, { role: 'user', content })
    conversations.save(conversation)
    await this.answer(conversation, message.id)
  }

  /** Has the message `parent` of the user answered, beside the answers it may already have. */
  async answer(conversation, parent) {
    if (this.writing(conversation)) return
    const model = models.current
    const message = addMessage(conversation, parent, { role: 'assistant', model: model ?? undefined, timing: {} })
    const messages = promptOf(pathOf(conversation).slice(0, -1), settings.system)
    const controller = new AbortController()
    this.#running.set(conversation.id, { messageId: message.id, controller })
    announcer.say('Answering.')
    let outcome = 'The answer is complete.'
    try {
      await this.#receive(conversation, message, {
        model: model ?? undefined,
        messages,
        sampling: samplingOf(settings),
        key: settings.apiKey,
        signal: controller.signal,
      })
    } catch (error) {
      if (error.name === 'AbortError') {
        message.finish = 'stopped'
        outcome = 'Stopped.'
      } else {
        const { status = 0, code = '', retryAfter = null } = error
        message.error = { message: error.message, status, code, retryAfter }
        outcome = `The answer failed: ${error.message}`
        models.refresh()
      }
    } finally {
      this.#running.delete(conversation.id)
      conversation.updated = Date.now()
      conversations.save(conversation)
    }
    await tick() // the answer's last words come first
    announcer.say(outcome)
  }

  async #receive(conversation, message, request) {
    const started = performance.now()
    let first = 0
    let firstText = 0
    let last = 0
    let text = ''
    let reasoning = ''
    let timer = 0
    let saved = started
    const show = () => {
      timer = 0
      message.content += text
      if (reasoning) message.reasoning = (message.reasoning ?? '') + reasoning
      text = reasoning = ''
      if (performance.now() - saved > saveEveryMs) {
        saved = performance.now()
        conversations.save(conversation)
      }
    }
    try {
      for await (const piece of streamChat(request)) {
        const now = performance.now()
        if (piece.text || piece.reasoning) {
          last = now
          if (!first) {
            first = now
            message.timing.firstTokenMs = first - started
          }
        }
        if (piece.text) {
          if (!firstText) {
            firstText = now
            if (message.reasoning || reasoning) message.timing.thoughtMs = firstText - first
          }
          text += piece.text
        }
        if (piece.reasoning) reasoning += piece.reasoning
        if (piece.finish) message.finish = piece.finish
        if (piece.usage) Object.assign(message.timing, timingOf(piece.usage, last - first))
        timer ||= setTimeout(show, showEveryMs)
      }
    } finally {
      clearTimeout(timer)
      show()
    }
  }
}

/** The first token ends the waiting, so that the rate is of those after it. */
function timingOf(usage, writingMs) {
  return {
    tokens: usage.completion,
    prompt: usage.prompt,
    cached: usage.cached,
    tokensPerSecond: usage.completion > 1 && writingMs > 0 ? ((usage.completion - 1) * 1000) / writingMs : undefined,
  }
}

export const answers = new Answers()
