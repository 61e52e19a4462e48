/** The requests that the page makes, all to the server it came from. */
import { readEvents } from './sse.js'

/** What went wrong, in words for the reader; `status` 0: no answer came at all. */
export class ApiError extends Error {
  constructor(message, { status = 0, code = '', retryAfter = null } = {}) {
    super(message)
    this.status = status
    this.code = code
    this.retryAfter = retryAfter
  }
}

const unreachable = () => new ApiError('The server cannot be reached. Is it running?')

const headers = (key) => (key ? { Authorization: `Bearer ${key}` } : {})

async function errorOf(response) {
  let code = ''
  let message = `The server answered ${response.status} ${response.statusText}`.trimEnd()
  try {
    const body = await response.json()
    if (typeof body?.error?.code === 'string') code = body.error.code
    if (typeof body?.error?.message === 'string') message = body.error.message
    else if (typeof body?.error === 'string') message = body.error
  } catch {
    // Not JSON: the status has to do.
  }
  const seconds = Number.parseInt(response.headers.get('Retry-After') ?? '', 10)
  return new ApiError(message, {
    status: response.status,
    code,
    retryAfter: Number.isFinite(seconds) ? seconds : null,
  })
}

async function getJson(path, key, signal) {
  let response
  try {
    response = await fetch(path, { headers: headers(key), signal, cache: 'no-store' })
  } catch (error) {
    if (error.name === 'AbortError') throw error
    throw unreachable()
  }
  if (!response.ok) throw await errorOf(response)
  try {
    return await response.json()
  } catch {
    throw new ApiError(`${path}: the answer is not JSON`, { status: response.status })
  }
}

/** @returns {Promise<string[]>} the ids of the models that the server has */
export async function fetchModels(key, signal) {
  const body = await getJson('/v1/models', key, signal)
  return (body?.data ?? []).map((model) => model?.id).filter((id) => typeof id === 'string')
}

export const fetchStats = (key, signal) => getJson('/cadre/stats', key, signal)

/**
 * The answer to a conversation, piece by piece: {text}, {reasoning}, {finish}, {usage}.
 * Throws ApiError; also if the stream ends before the answer does.
 */
export async function* streamChat({ model, messages, sampling, key, signal }) {
  let response
  try {
    response = await fetch('/v1/chat/completions', {
      method: 'POST',
      headers: { ...headers(key), 'Content-Type': 'application/json' },
      body: JSON.stringify({
        model,
        messages,
        ...sampling,
        stream: true,
        stream_options: { include_usage: true },
      }),
      signal,
    })
  } catch (error) {
    if (error.name === 'AbortError') throw error
    throw unreachable()
  }
  if (!response.ok) throw await errorOf(response)

  let finished = false
  try {
    for await (const data of readEvents(response.body)) {
      if (data === '[DONE]') return
      for (const piece of piecesOf(data)) {
        if (piece.finish) finished = true
        yield piece
      }
    }
  } catch (error) {
    if (error.name === 'AbortError' || error instanceof ApiError) throw error
    throw new ApiError('The connection broke before the answer was complete.')
  }
  if (!finished) throw new ApiError('The server closed the connection before the answer was complete.')
}

/** What one event of the stream says. */
export function piecesOf(data) {
  let chunk
  try {
    chunk = JSON.parse(data)
  } catch {
    throw new ApiError('The server sent an event that is not JSON.')
  }
  if (chunk?.error) {
    throw new ApiError(chunk.error.message ?? String(chunk.error), { status: Number(chunk.error.code) || 0 })
  }
  const pieces = []
  const choice = chunk?.choices?.[0]
  if (choice?.delta?.reasoning_content) pieces.push({ reasoning: choice.delta.reasoning_content })
  if (choice?.delta?.content) pieces.push({ text: choice.delta.content })
  if (choice?.finish_reason) pieces.push({ finish: choice.finish_reason })
  if (chunk?.usage) {
    pieces.push({
      usage: {
        prompt: chunk.usage.prompt_tokens ?? 0,
        completion: chunk.usage.completion_tokens ?? 0,
        cached: chunk.usage.prompt_tokens_details?.cached_tokens ?? 0,
      },
    })
  }
  return pieces
}
