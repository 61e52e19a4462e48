/** What the server tells of itself (GET /cadre/stats), as samples over time. docs/server-api.md lists the fields. */

const count = (value) => (Number.isFinite(value) ? value : 0)

const percentiles = (summary) => ({
  p50: summary?.p50 ?? null,
  p90: summary?.p90 ?? null,
  p99: summary?.p99 ?? null,
})

/** One answer of the server, received at `time` (seconds). Fields that are not there count as 0. */
export function readStats(body, time) {
  if (typeof body?.requests !== 'object' || typeof body?.tokens !== 'object') {
    throw new Error('/cadre/stats: "requests" and "tokens" expected')
  }
  const pages = count(body.kv_cache?.pages)
  const free = count(body.kv_cache?.free)
  const cached = count(body.kv_cache?.cached)
  return {
    time,
    version: body.version ?? '',
    uptime: count(body.uptime_seconds),
    connections: count(body.connections),
    draining: body.draining === true,
    model: body.model ?? {},
    running: count(body.requests.running),
    queued: count(body.requests.queued),
    outcomes: Object.fromEntries(
      ['finished', 'cancelled', 'failed', 'refused', 'preempted'].map((name) => [name, count(body.requests[name])]),
    ),
    tokens: {
      prompt: count(body.tokens.prompt),
      cached: count(body.tokens.cached),
      generated: count(body.tokens.generated),
    },
    steps: count(body.steps?.count),
    rows: count(body.steps?.rows),
    busySeconds: count(body.steps?.busy_seconds),
    pages: { all: pages, tokens: count(body.kv_cache?.page_tokens), free, cached, used: Math.max(0, pages - free - cached) },
    firstToken: percentiles(body.seconds?.first_token),
    interToken: percentiles(body.seconds?.inter_token),
  }
}

/** What happened between two samples, per second; null where nothing can be said. */
export function ratesOf(before, after) {
  const none = { generated: null, prefill: null, busy: null, rowsPerStep: null }
  // By the server's clock: the way of an answer takes longer at one time than at another. It starts again, with
  // all counters, when the server does.
  const seconds = before ? after.uptime - before.uptime : 0
  if (!(seconds > 0) || after.steps < before.steps) return none
  const computed = (sample) => sample.tokens.prompt - sample.tokens.cached
  const steps = after.steps - before.steps
  return {
    generated: (after.tokens.generated - before.tokens.generated) / seconds,
    prefill: Math.max(0, computed(after) - computed(before)) / seconds,
    busy: Math.min(1, (after.busySeconds - before.busySeconds) / seconds),
    rowsPerStep: steps > 0 ? (after.rows - before.rows) / steps : null,
  }
}

/** The share of the prompts' tokens that the prefix cache had; null before the first prompt. */
export const hitRate = ({ tokens }) => (tokens.prompt > 0 ? tokens.cached / tokens.prompt : null)

/** The samples of the last `seconds`, with the rates between them; a gap is a sample without values. */
export class History {
  samples = []

  constructor(seconds = 300) {
    this.seconds = seconds
  }

  add(sample) {
    this.samples = [
      ...this.samples.filter(({ time }) => time > sample.time - this.seconds),
      { ...sample, rates: ratesOf(this.samples.at(-1), sample) },
    ]
  }

  /** For a chart: times, then one list a series. */
  columns(...series) {
    return [this.samples.map(({ time }) => time), ...series.map((value) => this.samples.map(value))]
  }
}
