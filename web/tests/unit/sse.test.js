import assert from 'node:assert/strict'
import { test } from 'node:test'
import { piecesOf } from '../../src/lib/api.js'
import { readEvents, SseParser } from '../../src/lib/sse.js'

const stream = 'data: {"a":1}\n\n: ping\n\nevent: x\ndata: two\ndata: lines\n\nid: 7\r\ndata:tight\r\n\r\ndata\n\ndata: cut off'
const events = ['{"a":1}', 'two\nlines', 'tight', '']

test('events end at an empty line, whatever the line ends', () => {
  assert.deepEqual(new SseParser().push(stream), events)
  assert.deepEqual(new SseParser().push(stream.replaceAll('\r\n', '\n').replaceAll('\n', '\r') + ' '), events)
})

test('where the text is cut does not matter', () => {
  for (let size = 1; size < 9; ++size) {
    const parser = new SseParser()
    const got = []
    for (let at = 0; at < stream.length; at += size) got.push(...parser.push(stream.slice(at, at + size)))
    assert.deepEqual(got, events, `pieces of ${size}`)
  }
})

test('a byte order mark is skipped, once', () => {
  const parser = new SseParser()
  assert.deepEqual(parser.push('\uFEFFdata: x\n\n'), ['x'])
  assert.deepEqual(parser.push('\uFEFFdata: y\n\n'), [])
})

test('an event may be cut inside a character', async () => {
  const bytes = new TextEncoder().encode('data: grüße 🌍\n\ndata: [DONE]\n\n')
  const body = new ReadableStream({
    start(controller) {
      for (const byte of bytes) controller.enqueue(Uint8Array.of(byte))
      controller.close()
    },
  })
  const got = []
  for await (const event of readEvents(body)) got.push(event)
  assert.deepEqual(got, ['grüße 🌍', '[DONE]'])
})

test('whoever stops reading closes the connection', async () => {
  let cancelled = false
  const body = new ReadableStream({
    pull: (controller) => controller.enqueue(new TextEncoder().encode('data: x\n\n')),
    cancel: () => (cancelled = true),
  })
  for await (const event of readEvents(body)) {
    assert.equal(event, 'x')
    break
  }
  await new Promise((resolve) => setTimeout(resolve))
  assert.ok(cancelled)
})

test('pieces of a chunk', () => {
  const chunk = (choice, more = {}) => JSON.stringify({ choices: choice ? [choice] : [], ...more })
  assert.deepEqual(piecesOf(chunk({ delta: { content: 'a' } })), [{ text: 'a' }])
  assert.deepEqual(piecesOf(chunk({ delta: { reasoning_content: 'r' }, finish_reason: 'stop' })), [
    { reasoning: 'r' },
    { finish: 'stop' },
  ])
  assert.deepEqual(piecesOf(chunk({ delta: { role: 'assistant', content: '' } })), [])
  const usage = { prompt_tokens: 5, completion_tokens: 7, prompt_tokens_details: { cached_tokens: 2 } }
  assert.deepEqual(piecesOf(chunk(null, { usage })), [{ usage: { prompt: 5, completion: 7, cached: 2 } }])
  assert.deepEqual(piecesOf('null'), [])
})

test('errors inside a stream', () => {
  assert.throws(() => piecesOf('{"error":{"message":"out of pages","code":503}}'), { message: 'out of pages', status: 503 })
  assert.throws(() => piecesOf('{half'), /not JSON/)
})
