/** Numbers and times for people. */

export const number = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })

export const amount = new Intl.NumberFormat('en', { maximumFractionDigits: 2 })

/** 3 significant figures below a thousand: 0.42, 8.31, 41.3, 128. */
export function rate(value) {
  if (!Number.isFinite(value)) return '–'
  if (value >= 100) return number.format(value)
  return value.toFixed(value >= 10 ? 1 : 2)
}

export function seconds(value) {
  if (!Number.isFinite(value)) return '–'
  if (value === 0) return '0'
  if (value < 0.01) return `${(value * 1000).toFixed(1)} ms`
  if (value < 1) return `${Math.round(value * 1000)} ms`
  if (value < 60) return `${value.toFixed(value < 10 ? 2 : 1)} s`
  return duration(value)
}

/** 75 -> "1 min 15 s"; 93784 -> "1 d 2 h" */
export function duration(value) {
  if (!Number.isFinite(value)) return '–'
  const units = [
    [86400, 'd'],
    [3600, 'h'],
    [60, 'min'],
    [1, 's'],
  ]
  const at = Math.max(0, units.findIndex(([size]) => value >= size))
  const first = value >= 1 ? at : 3
  const parts = []
  let rest = Math.floor(value)
  for (const [size, name] of units.slice(first, first + 2)) {
    const count = Math.floor(rest / size)
    rest -= count * size
    if (count > 0 || parts.length === 0) parts.push(`${count} ${name}`)
  }
  return parts.join(' ')
}

export const percent = (value) => (Number.isFinite(value) ? `${Math.round(value * 100)} %` : '–')

/** How long ago, in the sidebar's words. */
export function when(time, now = Date.now()) {
  const days = Math.floor((startOfDay(now) - startOfDay(time)) / 86_400_000 + 0.5)
  if (days <= 0) return 'Today'
  if (days === 1) return 'Yesterday'
  if (days < 7) return 'This week'
  if (days < 31) return 'This month'
  return 'Earlier'
}

const startOfDay = (time) => new Date(time).setHours(0, 0, 0, 0)
