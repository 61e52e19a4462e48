import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { JSDOM } from 'jsdom'

const { window } = new JSDOM('<!doctype html><body></body>')
Object.assign(globalThis, { window, document: window.document, Node: window.Node })
const { blocksOf, plainText, renderBlock, sanitise } = await import('../../src/lib/markdown.js')
const { patch } = await import('../../src/lib/patch.js')

function render(text) {
  const box = document.createElement('div')
  for (const block of blocksOf(text)) box.append(renderBlock(block))
  return box
}

const elements = new Set(
  'a b blockquote br code del div em h1 h2 h3 h4 h5 h6 hr i input kbd li mark ol p pre s span strong sub sup table tbody td th thead tr u ul'.split(' '),
)
const attributes = new Set('align checked class data-language disabled href rel start tabindex target type'.split(' '))

function checkHarmless(box) {
  for (const node of box.querySelectorAll('*')) {
    assert.ok(elements.has(node.localName), node.outerHTML)
    for (const { name, value } of node.attributes) {
      assert.ok(attributes.has(name), `${name}: ${node.outerHTML}`)
      if (name === 'href') assert.match(value, /^(https?|mailto):/, node.outerHTML)
      if (name === 'class') assert.match(value, /^hljs-/, node.outerHTML)
    }
  }
}

test('Markdown', () => {
  const box = render('# Title\n\nSome *words* and `code`.\n\n- one\n- two\n\n| a | b |\n|---|---:|\n| 1 | 2 |\n')
  assert.equal(box.querySelector('h1').textContent, 'Title')
  assert.equal(box.querySelector('em').textContent, 'words')
  assert.equal(box.querySelectorAll('li').length, 2)
  assert.equal(box.querySelector('td[align=right]').textContent, '2')
  checkHarmless(box)
})

test('code keeps its text, whatever its language', () => {
  const code = 'if (a < b && "x") { return `<script>` }\n'
  for (const language of ['js', 'cpp', 'python', 'nonsense', '']) {
    const pre = render(`\`\`\`${language && `${language} more words`}\n${code}\`\`\``).querySelector('pre')
    assert.equal(pre.textContent.trimEnd(), code.trimEnd())
    assert.equal(pre.dataset.language ?? '', language)
  }
  assert.ok(render('```js\nreturn 1\n```').querySelector('.hljs-keyword'))
  assert.equal(render('```js\nreturn 1').querySelector('pre').textContent, 'return 1', 'a fence that is still open')
})

test('hostile Markdown', () => {
  const box = render(readFileSync(new URL('../hostile.md', import.meta.url), 'utf8'))
  checkHarmless(box)
  assert.ok(box.textContent.includes("<script>window.hacked = 'script element'</script>"), 'HTML is shown as text')
  assert.ok(box.textContent.trim().endsWith('The end.'))
  const links = [...box.querySelectorAll('a[href]')]
  assert.deepEqual([...new Set(links.map((link) => new URL(link.href).protocol))], ['https:'])
  for (const link of links) assert.equal(link.rel, 'noopener noreferrer nofollow')
})

test('hostile Markdown, cut anywhere as it arrives', () => {
  const text = readFileSync(new URL('../hostile.md', import.meta.url), 'utf8')
  for (let end = 1; end < text.length; end += 7) checkHarmless(render(text.slice(0, end)))
})

test('the sanitiser alone is a wall too', () => {
  const box = document.createElement('div')
  box.append(
    sanitise(
      '<img src=x onerror=alert(1)><a href="javascript:alert(1)" onclick=alert(1) class="page" style="color:red">x</a>' +
        '<svg/onload=alert(1)><input type=text autofocus><span class="hljs-keyword page">y</span><b tabindex=0>z</b>' +
        '<a href="//evil.invalid">relative</a><form><button>b</button></form><style>*{}</style>',
    ),
  )
  checkHarmless(box)
  assert.equal(box.textContent, 'xyzrelativeb')
  assert.equal(box.querySelector('[tabindex], a[href], input, [class]'), null)
})

test('plain elements without attributes may be written', () => {
  const box = render('H<sub>2</sub>O<br>and <kbd>Esc</kbd>, <b onclick="x()">no</b>')
  assert.ok(box.querySelector('sub') && box.querySelector('br') && box.querySelector('kbd'))
  assert.equal(box.querySelector('b'), null)
})

test('a block does not change when more text follows', () => {
  const before = blocksOf('First.\n\n```py\nx = 1\n```\n\nSec')
  const after = blocksOf('First.\n\n```py\nx = 1\n```\n\nSecond paragraph.\n\nThird')
  assert.deepEqual(before.slice(0, 2).map(({ raw }) => raw), after.slice(0, 2).map(({ raw }) => raw))
  assert.equal(plainText(after[1]), 'Code.')
  assert.equal(plainText(after[2]), 'Second paragraph.')
})

test('patching keeps the elements that stay', () => {
  const box = document.createElement('div')
  patch(box, render('One **two** three\n\n- a'))
  const [strong, list] = [box.querySelector('strong'), box.querySelector('ul')]
  const next = '# Head\n\nOther'
  const longer = 'One **two** three four\n\n- a\n- b'
  patch(box, render(longer))
  assert.equal(box.querySelector('strong'), strong)
  assert.equal(box.querySelector('ul'), list)
  assert.equal(box.innerHTML, render(longer).innerHTML)
  patch(box, render(next))
  assert.equal(box.innerHTML, render(next).innerHTML)
})
