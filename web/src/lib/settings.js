/** What an answer is sampled with. A value of null is not sent: the server's default holds. */
export const samplingFields = [
  {
    name: 'temperature',
    label: 'Temperature',
    help: '0 always takes the likeliest token; higher is more varied.',
    min: 0,
    max: 2,
    step: 0.05,
  },
  {
    name: 'top_p',
    label: 'Top-p',
    help: 'Samples among the likeliest tokens that together have this probability.',
    min: 0.05,
    max: 1,
    step: 0.05,
  },
  { name: 'top_k', label: 'Top-k', help: 'Samples among this many tokens; 0 among all.', min: 0, max: 1_000_000, step: 1, slider: 200 },
  { name: 'max_tokens', label: 'Max tokens', help: 'The answer ends after so many.', min: 1, max: 10_000_000, step: 1 },
  { name: 'seed', label: 'Seed', help: 'The same seed and request give the same answer.', min: 0, max: Number.MAX_SAFE_INTEGER, step: 1 },
]

export const defaultSettings = {
  system: '',
  apiKey: '',
  ...Object.fromEntries(samplingFields.map((field) => [field.name, null])),
}

/** The number that was typed, held to the field's limits; null if it is none. */
export function readNumber(field, text) {
  const value = typeof text === 'number' ? text : Number.parseFloat(text)
  if (!Number.isFinite(value)) return null
  const bounded = Math.min(field.max, Math.max(field.min, value))
  return field.step === 1 ? Math.round(bounded) : bounded
}

/** Stored settings of unknown origin. */
export function readSettings(data) {
  const settings = { ...defaultSettings }
  if (typeof data?.system === 'string') settings.system = data.system
  if (typeof data?.apiKey === 'string') settings.apiKey = data.apiKey
  for (const field of samplingFields) {
    if (typeof data?.[field.name] === 'number') settings[field.name] = readNumber(field, data[field.name])
  }
  return settings
}

/** The fields of a request. */
export const samplingOf = (settings) =>
  Object.fromEntries(
    samplingFields.map(({ name }) => [name, settings[name]]).filter(([, value]) => value !== null),
  )
