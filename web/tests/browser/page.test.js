/**
 * The page in a browser, against the mock server, or against the server that CADRE_URL names: then what only the
 * mock can be made to do is skipped.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { launch } from './browser.js'
import { MockServer } from './mock_server.js'

const real = process.env.CADRE_URL
let server
let browser
let url

before(async () => {
  server = real ? null : await new MockServer().start()
  url = real ?? server.url
  browser = await launch()
})
after(async () => {
  await browser?.close()
  await server?.stop()
})

/** A test with a fresh browser profile; at its end nothing must have gone wrong on the page. */
function page(name, { mock = false, expect = /^$/, ...options }, body) {
  test(name, { skip: mock && real ? 'needs the mock server' : false, timeout: 180_000 }, async () => {
    const context = await browser.newContext({ viewport: { width: 1100, height: 760 }, ...options })
    context.setDefaultTimeout(40_000)
    const problems = []
    const outside = []
    context.on('page', (tab) => {
      tab.on('pageerror', (error) => problems.push(error.message))
      tab.on('console', (message) => {
        if (['error', 'warning'].includes(message.type()) && !expect.test(message.text())) problems.push(message.text())
      })
    })
    context.on('request', (request) => {
      if (!request.url().startsWith(`${url}/`) && !/^(data|blob):/.test(request.url())) outside.push(request.url())
    })
    try {
      const tab = await context.newPage()
      await tab.goto(url)
      await body(tab)
      assert.deepEqual(problems, [], 'errors on the console')
      assert.deepEqual(outside, [], 'requests to elsewhere')
    } finally {
      await context.close()
    }
  })
}

const box = (tab) => tab.getByRole('textbox', { name: 'Message', exact: true })
const answers = (tab) => tab.getByRole('article', { name: 'Answer' })
const said = (tab) => tab.getByRole('article', { name: 'You' })
const idle = (tab) => tab.locator('article[aria-busy=true]').waitFor({ state: 'detached' })

/** Waits for what comes a frame or a step later, longer on a busy machine. */
async function until(condition, what) {
  for (let tries = 0; tries < 200; tries++) {
    if (await condition()) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  assert.fail(`did not come: ${what}`)
}

async function say(tab, text) {
  await box(tab).fill(text)
  await box(tab).press('Enter')
}

async function ask(tab, text) {
  const count = await answers(tab).count()
  await say(tab, text)
  await answers(tab).nth(count).waitFor()
  await idle(tab)
  return answers(tab).nth(count)
}

page('a conversation', {}, async (tab) => {
  const answer = await ask(tab, 'Hello there')
  await answer.locator('.prose').waitFor()
  assert.match(await answer.getByRole('list', { name: 'Figures' }).innerText(), /first token[\s\S]*token/)
  if (!real) {
    assert.equal(await answer.locator('.prose').innerText(), 'Turn 1: you said Hello there.')
    assert.equal(await answer.locator('strong').innerText(), 'Hello there')
    assert.match(await answer.innerText(), /tokens\/s/)
  }
  const second = await ask(tab, 'And again')
  if (!real) assert.match(await second.innerText(), /Turn 2/)
  assert.equal(await said(tab).count(), 2)
  const name = tab.getByRole('banner').locator('.model')
  assert.ok((await name.innerText()).length > 3, 'the name of the model')
  await tab.getByRole('navigation', { name: 'Kept conversations' }).getByText('Hello there').waitFor()
})

page('Shift and Enter is a new line', {}, async (tab) => {
  await box(tab).fill('one')
  await box(tab).press('Shift+Enter')
  await box(tab).pressSequentially('two')
  assert.equal(await box(tab).inputValue(), 'one\ntwo')
  assert.equal(await said(tab).count(), 0)
  await box(tab).press('Enter')
  await said(tab).first().waitFor()
  assert.equal(await said(tab).first().locator('.bubble').innerText(), 'one\ntwo')
  await idle(tab)
})

page('Escape stops', {}, async (tab) => {
  await box(tab).fill('A slow story, please.')
  const press = (...keys) =>
    box(tab).evaluate((area, names) => {
      for (const key of names) area.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }))
    }, keys)
  if (real) {
    await press('Enter', 'Escape') // at once: a small model is done in no time
  } else {
    await press('Enter')
    await answers(tab).getByText('word3 ').first().waitFor()
    await press('Escape')
  }
  await answers(tab).getByText(/^Stopped/).waitFor()
  assert.equal(await tab.locator('article[aria-busy=true]').count(), 0)
  if (real) return
  const text = await answers(tab).innerText()
  await tab.waitForTimeout(300)
  assert.equal(await answers(tab).innerText(), text, 'nothing more comes')
  assert.equal(server.left, 1, 'the server was told')
})

page('the button stops; what was written is kept for the next turn', { mock: true }, async (tab) => {
  await say(tab, 'slow')
  await answers(tab).getByText('word5 ').first().waitFor()
  await tab.getByRole('button', { name: 'Stop the answer' }).click()
  await answers(tab).getByText('Stopped.', { exact: true }).waitFor()
  await ask(tab, 'go on')
  const messages = server.requests.at(-1).body.messages
  assert.deepEqual(messages.map(({ role }) => role), ['user', 'assistant', 'user'])
  assert.match(messages[1].content, /^word0 word1 /)
})

page('editing sends anew and keeps the old version', {}, async (tab) => {
  await ask(tab, 'First wording')
  await said(tab).first().hover()
  await tab.getByRole('button', { name: 'Edit message' }).click()
  const editor = tab.getByRole('textbox', { name: 'Edit your message' })
  assert.equal(await editor.inputValue(), 'First wording')
  await editor.fill('Second wording')
  await editor.press('Enter')
  await said(tab).getByText('Second wording').waitFor()
  await idle(tab)
  assert.equal(await answers(tab).count(), 1)
  if (!real) assert.match(await answers(tab).innerText(), /Turn 1: you said Second wording/)
  await said(tab).getByRole('button', { name: 'Earlier version' }).click()
  await said(tab).getByText('First wording').waitFor()
  if (!real) assert.match(await answers(tab).innerText(), /you said First wording/)
})

page('Escape leaves the editor without sending', {}, async (tab) => {
  await ask(tab, 'Original')
  await said(tab).first().hover()
  await tab.getByRole('button', { name: 'Edit message' }).click()
  await tab.getByRole('textbox', { name: 'Edit your message' }).fill('Changed')
  await tab.keyboard.press('Escape')
  await said(tab).getByText('Original').waitFor()
  assert.equal(await said(tab).count(), 1)
})

page('answering again', {}, async (tab) => {
  await ask(tab, 'Once more')
  await tab.getByRole('button', { name: 'Answer again' }).click()
  await tab.getByText('2/2').waitFor()
  await idle(tab)
  assert.equal(await answers(tab).count(), 1)
  await answers(tab).getByRole('button', { name: 'Earlier version' }).click()
  await tab.getByText('1/2').waitFor()
})

page('a reload keeps conversation and choices', {}, async (tab) => {
  await ask(tab, 'Remember me')
  const text = await answers(tab).locator('.prose').innerText()
  await tab.reload()
  await said(tab).getByText('Remember me').waitFor()
  assert.equal(await answers(tab).locator('.prose').innerText(), text)
})

page('several conversations: new, rename, export, delete', {}, async (tab) => {
  await ask(tab, 'Apples')
  await tab.keyboard.press('Control+Shift+O')
  await tab.getByText('What is on your mind?').waitFor()
  await ask(tab, 'Pears')
  const kept = tab.getByRole('navigation', { name: 'Kept conversations' })
  await kept.getByRole('button', { name: 'Apples', exact: true }).click()
  await said(tab).getByText('Apples').waitFor()

  await tab.getByRole('button', { name: /More for .Apples/ }).click()
  await tab.getByRole('menuitem', { name: 'Rename' }).click()
  await tab.getByRole('textbox', { name: 'Name of the conversation' }).fill('Fruit')
  await tab.keyboard.press('Enter')
  await kept.getByRole('button', { name: 'Fruit', exact: true }).waitFor()

  await tab.getByRole('button', { name: /More for .Fruit/ }).click()
  const download = tab.waitForEvent('download')
  await tab.getByRole('menuitem', { name: 'Export as Markdown' }).click()
  const file = await download
  assert.equal(file.suggestedFilename(), 'Fruit.md')
  assert.match(readFileSync(await file.path(), 'utf8'), /^# Fruit\n\n## You\n\nApples\n/)

  await tab.getByRole('button', { name: /More for .Fruit/ }).click()
  await tab.getByRole('menuitem', { name: 'Delete' }).click()
  await tab.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
  await kept.getByText('Fruit').waitFor({ state: 'detached' })
  await tab.reload()
  await kept.getByText('Pears').waitFor()
  assert.equal(await kept.getByText('Fruit').count(), 0)
})

page('an answer goes on while another conversation is open', { mock: true }, async (tab) => {
  await say(tab, 'slow river')
  await answers(tab).getByText('word2 ').first().waitFor()
  await tab.getByRole('button', { name: 'New conversation' }).click()
  await ask(tab, 'Quick')
  await tab.getByRole('button', { name: /slow river/ }).first().click()
  await answers(tab).getByText('word30 ').first().waitFor()
  await tab.keyboard.press('Escape')
  await answers(tab).getByText('Stopped.', { exact: true }).waitFor()
})

page('settings reach the server', { mock: true }, async (tab) => {
  await tab.getByRole('button', { name: 'Settings' }).click()
  await tab.getByRole('textbox', { name: 'System prompt' }).fill('Be brief')
  for (const [name, value] of [['Temperature', '0.5'], ['Top-p', '0.9'], ['Top-k', '40'], ['Max tokens', '3'], ['Seed', '7']]) {
    await tab.getByRole('spinbutton', { name, exact: true }).fill(value)
  }
  await tab.getByRole('spinbutton', { name: 'Seed' }).press('Tab')
  await tab.keyboard.press('Escape')
  const answer = await ask(tab, 'Hi')
  await answer.getByText('The limit of tokens was reached.').waitFor()
  const { body } = server.requests.at(-1)
  assert.deepEqual(body.messages[0], { role: 'system', content: 'Be brief' })
  const { temperature, top_p, top_k, max_tokens, seed, stream, stream_options } = body
  assert.deepEqual(
    { temperature, top_p, top_k, max_tokens, seed, stream, stream_options },
    { temperature: 0.5, top_p: 0.9, top_k: 40, max_tokens: 3, seed: 7, stream: true, stream_options: { include_usage: true } },
  )
  await tab.getByRole('button', { name: 'Settings' }).click()
  await tab.getByRole('button', { name: "Back to the server's defaults" }).click()
  await tab.keyboard.press('Escape')
  await ask(tab, 'Hi again')
  assert.ok(!('temperature' in server.requests.at(-1).body))
})

page('reasoning is folded', { mock: true }, async (tab) => {
  const answer = await ask(tab, 'think')
  assert.equal(await answer.locator('.prose').innerText(), 'The answer is 4.')
  await answer.getByText(/^Thought/).click()
  await answer.getByText('First I consider the question.').waitFor()
  await ask(tab, 'next')
  assert.ok(!JSON.stringify(server.requests.at(-1).body).includes('consider'), 'thoughts are not sent back')
})

page('code is coloured and can be copied', { mock: true, permissions: ['clipboard-read', 'clipboard-write'] }, async (tab) => {
  const answer = await ask(tab, 'code')
  await answer.locator('.hljs-keyword').first().waitFor()
  await answer.getByRole('button', { name: 'Copy the code' }).click()
  assert.equal(await tab.evaluate(() => navigator.clipboard.readText()), 'def f(x):\n    return x + 1')
  await answer.getByRole('button', { name: 'Copy answer' }).click()
  assert.match(await tab.evaluate(() => navigator.clipboard.readText()), /^Here:\n\n```python/)
})

const refused = { mock: true, expect: /Failed to load resource/ }

page('an error of the server, and another try', refused, async (tab) => {
  const answer = await ask(tab, 'fail once')
  await answer.getByText('The tensors are on fire.').waitFor()
  await answer.getByRole('button', { name: 'Retry' }).click()
  await answers(tab).getByText('you said fail once').waitFor()
  await idle(tab)
  assert.equal(await answers(tab).count(), 1)
})

page('a busy server says when to come back', refused, async (tab) => {
  const answer = await ask(tab, 'busy')
  await answer.getByText('The server is busy').waitFor()
  assert.match(await answer.innerText(), /The queue is full \(512 requests\)\. Try again in 2\.00 s\./)
})

page('a conversation that is too long says what to do', refused, async (tab) => {
  const answer = await ask(tab, 'too much')
  await answer.getByText('The conversation has become too long').waitFor()
  assert.match(await answer.innerText(), /300 tokens, the context 256\. Begin a new one/)
})

page('an API key', refused, async (tab) => {
  const answer = await ask(tab, 'locked')
  await answer.getByText('The server wants an API key').waitFor()
  await answer.getByRole('button', { name: 'Settings' }).click()
  await tab.getByLabel('API key').fill('secret')
  await tab.keyboard.press('Enter')
  await tab.keyboard.press('Escape')
  await answer.getByRole('button', { name: 'Retry' }).click()
  await answers(tab).getByText('you said locked').waitFor()
  assert.equal(server.requests.at(-1).authorization, 'Bearer secret')
})

page('a connection that breaks', { mock: true, expect: /ERR_INCOMPLETE_CHUNKED_ENCODING|Failed to load/ }, async (tab) => {
  const answer = await ask(tab, 'break')
  await answer.getByText('The connection broke before the answer was complete.').waitFor()
  assert.match(await answer.innerText(), /This will never be/)
})

page('hostile Markdown does nothing', { mock: true }, async (tab) => {
  const answer = await ask(tab, 'hostile')
  await answer.getByText('The end.').waitFor()
  for (const link of await answer.locator('a[href]').all()) await link.hover()
  await answer.getByText('cover').click()
  await tab.waitForTimeout(200)
  assert.equal(await tab.evaluate(() => window.hacked), undefined)
  assert.equal(await answer.locator('script, img, svg:not(button svg), iframe, form, style, video, [style], [onclick]').count(), 0)
  assert.equal(await tab.title(), 'cadre')
})

page('even injected markup runs nothing: the policy of the page', { expect: /Content Security Policy|Trusted(HTML|Script)/ }, async (tab) => {
  const outcome = await tab.evaluate(async () => {
    const tries = {}
    try {
      document.body.insertAdjacentHTML('beforeend', '<img src=x onerror="window.hacked = 1">')
      tries.html = 'let through'
    } catch (error) {
      tries.html = error.name
    }
    const script = document.createElement('script')
    try {
      script.text = 'window.hacked = 2'
      document.body.append(script)
    } catch (error) {
      tries.script = error.name
    }
    tries.fetch = await fetch('https://evil.invalid/').then(() => 'let through', (error) => error.name)
    return { ...tries, hacked: window.hacked ?? null }
  })
  assert.deepEqual(outcome, { html: 'TypeError', script: 'TypeError', fetch: 'TypeError', hacked: null })
})

page('dark and light follow the system, or the choice', { colorScheme: 'dark' }, async (tab) => {
  const brightness = () =>
    tab.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0))
  assert.ok((await brightness()) < 150)
  await tab.emulateMedia({ colorScheme: 'light' })
  assert.ok((await brightness()) > 600)
  await tab.getByRole('button', { name: 'Settings' }).click()
  await tab.getByRole('radio', { name: 'Dark' }).check()
  assert.ok((await brightness()) < 150)
  await tab.reload()
  assert.ok((await brightness()) < 150, 'the choice is kept')
})

page('a phone', { viewport: { width: 360, height: 700 }, isMobile: true, hasTouch: true }, async (tab) => {
  // Enter is a new line on a phone; the button sends.
  await say(tab, 'Hello')
  assert.equal(await box(tab).inputValue(), 'Hello\n')
  await box(tab).fill('Hello from the pocket')
  await tab.getByRole('button', { name: 'Send' }).tap()
  await answers(tab).first().waitFor()
  await idle(tab)
  const fits = () => tab.evaluate(() => document.documentElement.scrollWidth <= innerWidth)
  assert.ok(await fits())
  await tab.getByRole('button', { name: 'Conversations', exact: true }).tap()
  await tab.getByRole('navigation', { name: 'Kept conversations' }).getByRole('button', { name: 'Hello from the pocket', exact: true }).tap()
  await tab.getByRole('button', { name: 'Settings' }).tap()
  assert.ok(await fits())
  await tab.getByRole('dialog', { name: 'Settings' }).getByRole('button', { name: 'Close' }).tap()
  await tab.getByRole('link', { name: 'Server' }).tap()
  await tab.getByText('KV cache').waitFor()
  assert.ok(await fits())
})

page('by keyboard alone', {}, async (tab) => {
  const focused = tab.locator(':focus')
  await tab.locator('[aria-label=Message]:focus').waitFor()
  const first = tab.locator('a[href], button, input, select, textarea').first()
  assert.equal((await first.innerText()).trim(), 'Skip to the content')
  await first.focus()
  assert.ok((await first.boundingBox()).y >= 0, 'it is seen once it has the focus')
  await tab.keyboard.press('Enter')
  assert.equal(await tab.evaluate(() => document.activeElement.id), 'main')
  await tab.keyboard.press('Tab')
  const ring = await tab.evaluate(() => getComputedStyle(document.activeElement).outlineStyle)
  assert.notEqual(ring, 'none', 'focus is seen')
  await ask(tab, 'Keys')
  await tab.getByRole('button', { name: /More for/ }).focus()
  await tab.keyboard.press('Enter')
  await focused.filter({ hasText: 'Rename' }).waitFor()
  await tab.keyboard.press('ArrowUp')
  await focused.filter({ hasText: 'Delete' }).waitFor()
  await tab.keyboard.press('Escape')
  await tab.getByRole('menuitem', { name: 'Rename' }).waitFor({ state: 'hidden' })
})

page('a screen reader hears the answer in parts', { mock: true }, async (tab) => {
  await tab.evaluate(() => {
    window.heard = []
    new MutationObserver((changes) => {
      for (const { addedNodes } of changes) for (const node of addedNodes) if (node.textContent.trim()) window.heard.push(node.textContent.trim())
    }).observe(document.querySelector('[role=log]'), { childList: true })
  })
  await ask(tab, 'code')
  await until(() => tab.evaluate(() => window.heard.at(-1) === 'The answer is complete.'), 'the last words')
  assert.deepEqual(await tab.evaluate(() => window.heard), ['Answering.', 'Here:', 'Code.', 'Done.', 'The answer is complete.'])
  for (const role of ['banner', 'main', 'navigation', 'complementary']) {
    assert.ok((await tab.getByRole(role).count()) >= 1, role)
  }
})

page('the view follows the answer until the reader scrolls up', { mock: true, viewport: { width: 900, height: 480 } }, async (tab) => {
  const scroll = tab.locator('.scroll')
  const gap = () => scroll.evaluate((node) => node.scrollHeight - node.clientHeight - node.scrollTop)
  await say(tab, 'slow')
  await answers(tab).getByText('word150 ').first().waitFor()
  const atEnd = async () => (await gap()) < 30
  await until(atEnd, 'the view at the end')
  await scroll.hover()
  await tab.mouse.wheel(0, -200)
  await tab.getByRole('button', { name: 'To the newest message' }).waitFor()
  const top = () => scroll.evaluate((node) => node.scrollTop)
  let last = -1
  await until(async () => last === (last = await top()), 'an end of the scrolling')
  await answers(tab).getByText('word220 ').first().waitFor()
  assert.equal(await top(), last)
  await tab.getByRole('button', { name: 'To the newest message' }).click()
  await until(atEnd, 'the view at the end again')
  await tab.keyboard.press('Escape')
})

page('nothing moves while an answer grows and ends', { mock: true, viewport: { width: 900, height: 480 } }, async (tab) => {
  await tab.evaluate(() => {
    window.shifts = []
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts.push(entry.value)
    }).observe({ type: 'layout-shift', buffered: false })
    window.shrunk = 0
    let height = 0
    const watch = () => {
      const now = document.querySelector('.scroll')?.scrollHeight ?? 0
      if (now < height) window.shrunk += height - now
      height = now
      requestAnimationFrame(watch)
    }
    watch()
  })
  await ask(tab, 'code')
  await tab.waitForTimeout(200)
  assert.deepEqual(await tab.evaluate(() => window.shifts.filter((value) => value > 0.001)), [])
  await say(tab, 'slow')
  const row = answers(tab).nth(1).locator('.actions')
  await answers(tab).nth(1).getByText('word3 ').waitFor()
  const before = (await row.boundingBox()).height
  await tab.keyboard.press('Escape')
  await idle(tab)
  assert.equal((await row.boundingBox()).height, before, 'the row of buttons has its place from the start')
  assert.equal(await tab.evaluate(() => window.shrunk), 0)
})

page('the server view', {}, async (tab) => {
  await tab.getByRole('link', { name: 'Server' }).click()
  for (const text of ['Running', 'Engine busy', 'Prefix cache', 'KV cache', 'Time to first token', 'Between two tokens']) {
    await tab.getByRole('main').getByText(text, { exact: true }).waitFor()
  }
  await tab.waitForTimeout(2200)
  assert.ok((await tab.locator('canvas').count()) === 4)
  if (!real) {
    await tab.getByText('512 pages of 64 tokens').waitFor()
    await tab.getByText('4 of 32 per token').waitFor()
    assert.match(await tab.locator('.tiles').innerText(), /\d\stokens\/s/)
  }
  await tab.goBack()
  await box(tab).waitFor()
})

page('the server view when the server fails', refused, async (tab) => {
  server.statsFail = true
  try {
    await tab.getByRole('link', { name: 'Server' }).click()
    await tab.getByText('no statistics today').waitFor()
  } finally {
    server.statsFail = false
  }
  await tab.getByText('512 pages of 64 tokens').waitFor()
})
