/** What a screen reader is told of what happens elsewhere on the page: a log, of which additions are read. */
const kept = 12

class Announcer {
  lines = $state([])
  #next = 0

  say(text) {
    this.lines = [...this.lines.slice(1 - kept), { id: this.#next++, text }]
  }
}

export const announcer = new Announcer()
