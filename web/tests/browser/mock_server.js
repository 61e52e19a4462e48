/**
 * A server that speaks what the page asks for, with answers that tests can foretell. What it answers hangs on
 * words in the last message: "slow" (many words, one each 30 ms), "code", "hostile", "think", "fail", "busy",
 * "locked" (401 until the key is "secret"), "too much" (400), "break" (the connection ends half-way); anything else is echoed.
 */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'

const page = new URL('../../dist/index.html', import.meta.url)
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

export const hostile = readFileSync(new URL('../hostile.md', import.meta.url), 'utf8')
export const showcase = readFileSync(new URL('../showcase.md', import.meta.url), 'utf8')

function wordsOf(text) {
  return text.match(/\s*\S+|\s+$/g) ?? [text]
}

function planOf(messages) {
  const last = messages.at(-1).content
  if (last.includes('slow')) return { words: Array.from({ length: 400 }, (_, i) => `word${i} ${i % 40 === 39 ? '\n\n' : ''}`), delay: 30 }
  if (last.includes('hostile')) return { words: wordsOf(hostile), delay: 0 }
  if (last.includes('showcase')) return { words: wordsOf(showcase), delay: 8 }
  if (last.includes('code')) return { words: wordsOf('Here:\n\n```python\ndef f(x):\n    return x + 1\n```\n\nDone.'), delay: 5 }
  if (last.includes('think')) return { thoughts: wordsOf('First I consider the question.'), words: wordsOf('The answer is 4.'), delay: 10 }
  if (last.includes('break')) return { words: wordsOf('This will never be'), delay: 10, breaks: true }
  const system = messages[0].role === 'system' ? ` under ${messages[0].content}` : ''
  const turns = messages.filter(({ role }) => role === 'user').length
  return { words: wordsOf(`Turn ${turns}${system}: you said **${last}**.`), delay: 5 }
}

export class MockServer {
  requests = []
  /** Streams that the client left before their end. */
  left = 0
  statsFail = false
  #failures = new Set()
  #started = Date.now()
  #tokens = 0

  async start(port = 0) {
    this.server = createServer((request, response) => {
      this.#handle(request, response).catch((error) => {
        if (!response.headersSent) response.writeHead(500)
        response.end(String(error))
      })
    })
    await new Promise((resolve) => this.server.listen(port, '127.0.0.1', resolve))
    this.url = `http://127.0.0.1:${this.server.address().port}`
    return this
  }

  stop() {
    this.server.closeAllConnections()
    return new Promise((resolve) => this.server.close(resolve))
  }

  async #handle(request, response) {
    const path = new URL(request.url, 'http://mock').pathname
    if (path === '/') {
      response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' })
      return response.end(readFileSync(page))
    }
    if (path === '/v1/models') return json(response, 200, { object: 'list', data: [{ id: 'cadre-mock', object: 'model' }] })
    if (path === '/cadre/stats') {
      if (this.statsFail) return json(response, 500, { error: { message: 'no statistics today' } })
      return json(response, 200, this.stats())
    }
    if (path === '/v1/chat/completions' && request.method === 'POST') {
      let body = ''
      for await (const chunk of request) body += chunk
      return this.#chat(request, response, JSON.parse(body))
    }
    json(response, 404, { error: { message: `no such path: ${path}` } })
  }

  async #chat(request, response, body) {
    this.requests.push({ body, authorization: request.headers.authorization })
    const last = body.messages.at(-1).content
    // Once only: the retry works.
    const first = !this.#failures.has(last)
    this.#failures.add(last)
    if (last.includes('busy') && first) {
      return json(response, 429, { error: { message: 'The queue is full (512 requests).' } }, { 'Retry-After': '2' })
    }
    if (last.includes('fail') && first) return json(response, 500, { error: { message: 'The tensors are on fire.' } })
    if (last.includes('too much')) {
      const error = { message: 'The prompt has 300 tokens, the context 256.', code: 'context_length_exceeded' }
      return json(response, 400, { error })
    }
    if (last.includes('locked') && request.headers.authorization !== 'Bearer secret') {
      return json(response, 401, { error: { message: 'A key is needed: Authorization: Bearer KEY.' } })
    }

    response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' })
    let open = true
    response.on('close', () => {
      if (open) this.left += 1
      open = false
    })
    const send = (fields) => response.write(`data: ${JSON.stringify({ object: 'chat.completion.chunk', ...fields })}\n\n`)
    const delta = (fields, finish = null) => send({ choices: [{ index: 0, delta: fields, finish_reason: finish }] })
    const plan = planOf(body.messages)
    const limit = body.max_tokens ?? Infinity
    delta({ role: 'assistant', content: '' })
    response.write(': a comment keeps the connection alive\n\n')
    let count = 0
    for (const reasoning_content of plan.thoughts ?? []) {
      await sleep(plan.delay)
      delta({ reasoning_content })
    }
    for (const content of plan.words.slice(0, limit)) {
      if (!open) return
      if (plan.delay) await sleep(plan.delay)
      delta({ content })
      this.#tokens += 1
      count += 1
    }
    if (plan.breaks) {
      await sleep(300) // what was sent arrives first
      open = false
      return response.destroy()
    }
    delta({}, plan.words.length > limit ? 'length' : 'stop')
    const usage = { prompt_tokens: 20, completion_tokens: count, total_tokens: 20 + count, prompt_tokens_details: { cached_tokens: 16 } }
    send({ choices: [], usage })
    open = false
    response.end('data: [DONE]\n\n')
  }

  /** As docs/server-api.md describes it. */
  stats() {
    const seconds = (Date.now() - this.#started) / 1000
    const wave = Math.sin(seconds / 7)
    const spread = (p50) => ({ count: 9, mean: p50, p50, p90: p50 * 1.6, p99: p50 * 2.4 })
    return {
      version: '0.0-mock',
      uptime_seconds: 93784 + seconds,
      connections: 3,
      draining: false,
      model: {
        name: 'cadre-mock', model_type: 'cadre', context_tokens: 4096, layers: 8, experts: 32, experts_per_token: 4,
        backend: 'AVX-512, 2 threads',
      },
      requests: {
        running: 3 + Math.round(2 * wave), queued: wave > 0.5 ? 2 : 0, finished: 120, cancelled: 3, failed: 0,
        refused: 1, preempted: 2,
      },
      tokens: {
        prompt: 8000 + Math.floor(40 * seconds), cached: 3000 + Math.floor(15 * seconds),
        generated: 5000 + this.#tokens + Math.floor(90 * seconds - 90 * Math.cos(seconds / 7)),
      },
      steps: { count: 1000 + Math.floor(20 * seconds), rows: 4000 + Math.floor(85 * seconds), busy_seconds: 50 + 0.73 * seconds },
      kv_cache: { page_tokens: 64, pages: 512, free: 280 - Math.round(60 * wave), cached: 120 },
      disk: { snapshots: 0, bytes: 0, hits: 0 },
      seconds: {
        first_token: spread(0.18 + 0.04 * wave), inter_token: spread(0.024 - 0.003 * wave), request: spread(2.1),
        queue: spread(0.004),
      },
      expert_tokens: [],
    }
  }
}

function json(response, status, body, headers = {}) {
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers })
  response.end(JSON.stringify(body))
}

// node mock_server.js PORT: to look at the page.
if (process.argv[1] === new URL(import.meta.url).pathname) {
  const server = await new MockServer().start(Number(process.argv[2] ?? 8123))
  console.log(server.url)
}
