/**
 * What the page keeps in the browser, as JSON under keys that start with "cadre.". A browser that keeps nothing
 * (private windows, full storage) costs the memory of the page, never the page: reads give the fallback,
 * writes say whether they worked.
 */
export class Storage {
  #area

  /** @param {globalThis.Storage|null} area localStorage, or a stand-in */
  constructor(area) {
    this.#area = area
  }

  read(name, fallback) {
    try {
      const text = this.#area?.getItem(`cadre.${name}`)
      return text == null ? fallback : JSON.parse(text)
    } catch {
      return fallback
    }
  }

  /** @returns {boolean} whether the browser took it */
  write(name, value) {
    try {
      if (!this.#area) return false
      this.#area.setItem(`cadre.${name}`, JSON.stringify(value))
      return true
    } catch {
      return false
    }
  }

  remove(name) {
    try {
      this.#area?.removeItem(`cadre.${name}`)
    } catch {
      // Nothing was kept, then.
    }
  }

  /** The names that start with `prefix`. @returns {string[]} */
  names(prefix) {
    try {
      const start = `cadre.${prefix}`
      return Object.keys(this.#area ?? {})
        .filter((key) => key.startsWith(start))
        .map((key) => key.slice('cadre.'.length))
    } catch {
      return []
    }
  }
}

/** The browser's own; reading the property itself throws where it is forbidden. */
export function browserStorage() {
  try {
    return new Storage(globalThis.localStorage)
  } catch {
    return new Storage(null)
  }
}
