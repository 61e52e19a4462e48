import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readNumber, readSettings, samplingFields, samplingOf } from '../../src/lib/settings.js'
import { Storage } from '../../src/lib/storage.js'

/** localStorage, as far as it is used. */
class Area {
  setItem(key, text) {
    if (this.full) throw new DOMException('full', 'QuotaExceededError')
    this[key] = text
  }
  getItem(key) {
    return this[key] ?? null
  }
  removeItem(key) {
    delete this[key]
  }
}

test('values come back; names are ours alone', () => {
  const area = new Area()
  area.setItem('other.conversation.x', '1')
  const storage = new Storage(area)
  assert.equal(storage.write('conversation.a', { x: [1, 'ä'] }), true)
  storage.write('theme', 'dark')
  assert.deepEqual(storage.read('conversation.a'), { x: [1, 'ä'] })
  assert.deepEqual(storage.names('conversation.'), ['conversation.a'])
  storage.remove('conversation.a')
  assert.equal(storage.read('conversation.a', 'gone'), 'gone')
})

test('damaged values give the fallback', () => {
  const area = new Area()
  area.setItem('cadre.settings', '{half')
  assert.deepEqual(new Storage(area).read('settings', {}), {})
})

test('a full or forbidden storage says so and throws nothing', () => {
  const full = new Area()
  full.full = true
  assert.equal(new Storage(full).write('x', 1), false)
  const none = new Storage(null)
  assert.equal(none.write('x', 1), false)
  assert.equal(none.read('x', 'fallback'), 'fallback')
  assert.deepEqual(none.names(''), [])
  none.remove('x')
})

const field = (name) => samplingFields.find((one) => one.name === name)

test('numbers are held to their range', () => {
  assert.equal(readNumber(field('temperature'), '0.7'), 0.7)
  assert.equal(readNumber(field('temperature'), '9'), 2)
  assert.equal(readNumber(field('top_k'), '-3'), 0)
  assert.equal(readNumber(field('max_tokens'), '12.6'), 13)
  assert.equal(readNumber(field('seed'), ''), null)
  assert.equal(readNumber(field('seed'), 'abc'), null)
})

test('settings that are not set are not sent', () => {
  const settings = readSettings({ temperature: 0, top_p: 'high', seed: 7, system: 5, extra: true })
  assert.deepEqual(samplingOf(settings), { temperature: 0, seed: 7 })
  assert.equal(settings.system, '')
  assert.deepEqual(samplingOf(readSettings(null)), {})
})
