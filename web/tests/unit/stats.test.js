import assert from 'node:assert/strict'
import { test } from 'node:test'
import { duration, rate, seconds, when } from '../../src/lib/format.js'
import { History, hitRate, ratesOf, readStats } from '../../src/lib/stats.js'

const body = (uptime, { generated = 0, prompt = 0, cached = 0, steps = 0, rows = 0, busy = 0 } = {}) => ({
  uptime_seconds: uptime,
  requests: { running: 1, queued: 2 },
  tokens: { generated, prompt, cached },
  steps: { count: steps, rows, busy_seconds: busy },
  kv_cache: { page_tokens: 16, pages: 64, free: 40, cached: 12 },
  seconds: { first_token: { p50: 0.1, p90: 0.2, p99: null } },
})

test('fields', () => {
  const sample = readStats(body(5), 100)
  assert.deepEqual(sample.pages, { all: 64, tokens: 16, free: 40, cached: 12, used: 12 })
  assert.deepEqual(sample.firstToken, { p50: 0.1, p90: 0.2, p99: null })
  assert.deepEqual(sample.interToken, { p50: null, p90: null, p99: null })
  assert.equal(sample.queued, 2)
  assert.equal(hitRate(sample), null)
  assert.equal(hitRate(readStats(body(5, { prompt: 40, cached: 10 }), 100)), 0.25)
})

test('an answer of another shape is refused', () => {
  for (const bad of [null, {}, [], 'text', { requests: {} }]) assert.throws(() => readStats(bad, 0), /expected/)
})

test('rates are differences over the time of the server', () => {
  const before = readStats(body(10, { generated: 100, prompt: 50, cached: 10, steps: 20, rows: 40, busy: 1 }), 0)
  const after = readStats(body(12, { generated: 160, prompt: 90, cached: 20, steps: 30, rows: 70, busy: 2.5 }), 99)
  assert.deepEqual(ratesOf(before, after), { generated: 30, prefill: 15, busy: 0.75, rowsPerStep: 3 })
})

test('no rates from one sample, nor across a restart', () => {
  const none = { generated: null, prefill: null, busy: null, rowsPerStep: null }
  const sample = readStats(body(10, { steps: 5 }), 0)
  assert.deepEqual(ratesOf(undefined, sample), none)
  assert.deepEqual(ratesOf(sample, readStats(body(1), 1)), none)
  assert.deepEqual(ratesOf(sample, sample), none)
})

test('history forgets what is older than its window', () => {
  const history = new History(3)
  for (let time = 0; time < 10; ++time) history.add(readStats(body(time, { generated: 10 * time }), time))
  const [times, generated] = history.columns((sample) => sample.rates.generated)
  assert.deepEqual(times, [7, 8, 9])
  assert.deepEqual(generated, [10, 10, 10])
})

test('numbers for people', () => {
  assert.deepEqual([rate(0.417), rate(41.26), rate(1234.5), rate(NaN)], ['0.42', '41.3', '1,235', '–'])
  assert.deepEqual([seconds(0), seconds(0.00083), seconds(0.0318), seconds(1.234), seconds(75)], ['0', '0.8 ms', '32 ms', '1.23 s', '1 min 15 s'])
  assert.deepEqual([duration(0.4), duration(59), duration(3600), duration(93784)], ['0 s', '59 s', '1 h', '1 d 2 h'])
  const noon = new Date(2026, 4, 20, 12).getTime()
  const daysAgo = (days) => new Date(2026, 4, 20 - days, 23).getTime()
  assert.deepEqual([0, 1, 3, 12, 40].map((days) => when(daysAgo(days), noon)), [
    'Today',
    'Yesterday',
    'This week',
    'This month',
    'Earlier',
  ])
})
