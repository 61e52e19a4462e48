/**
 * Server-sent events, as the HTML standard defines their text: fields of lines, events ended by an empty line.
 * Feed it the text as it arrives, cut anywhere; it gives back the data of each event that has become complete.
 */
export class SseParser {
  #buffer = ''
  #data = []
  #first = true

  /** @param {string} text @returns {string[]} */
  push(text) {
    if (this.#first && text.length > 0) {
      this.#first = false
      text = text.replace(/^\uFEFF/, '')
    }
    this.#buffer += text
    const events = []
    for (;;) {
      const end = this.#buffer.search(/[\r\n]/)
      // A carriage return at the very end may be half of a CRLF.
      if (end < 0 || (this.#buffer[end] === '\r' && end === this.#buffer.length - 1)) return events
      const line = this.#buffer.slice(0, end)
      this.#buffer = this.#buffer.slice(end + (this.#buffer.startsWith('\r\n', end) ? 2 : 1))
      this.#line(line, events)
    }
  }

  #line(line, events) {
    if (line === '') {
      if (this.#data.length > 0) events.push(this.#data.join('\n'))
      this.#data = []
    } else if (line === 'data' || line.startsWith('data:')) {
      this.#data.push(line.slice(5).replace(/^ /, ''))
    }
    // Comments (":") keep the connection alive; other fields mean nothing to us.
  }
}

/** The data of each event of a response's body. @param {ReadableStream<Uint8Array>} body */
export async function* readEvents(body) {
  const parser = new SseParser()
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  try {
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return
      yield* parser.push(value)
    }
  } finally {
    // Whoever stops reading early wants the connection closed.
    reader.cancel().catch(() => {})
  }
}
