import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as conversations from '../../src/lib/conversation.js'

const { addMessage, newConversation, pathOf, promptOf, readConversation, showVersion, titleOf, toMarkdown, versionsOf } =
  conversations

function talk() {
  const conversation = newConversation(1)
  const question = addMessage(conversation, null, { role: 'user', content: 'First question' }, 2)
  const answer = addMessage(conversation, question.id, { role: 'assistant', content: 'First answer' }, 3)
  return { conversation, question, answer }
}
const words = (conversation) => pathOf(conversation).map(({ content }) => content)

test('messages follow one another', () => {
  const { conversation, answer } = talk()
  addMessage(conversation, answer.id, { role: 'user', content: 'Second' }, 4)
  assert.deepEqual(words(conversation), ['First question', 'First answer', 'Second'])
  assert.equal(conversation.title, 'First question')
  assert.equal(conversation.updated, 4)
})

test('an edited message is a version beside the old one, which keeps what followed', () => {
  const { conversation, question } = talk()
  const edited = addMessage(conversation, null, { role: 'user', content: 'Other question' })
  assert.deepEqual(words(conversation), ['Other question'])
  assert.deepEqual(versionsOf(conversation, edited).map(({ id }) => id), [question.id, edited.id])
  showVersion(conversation, question.id)
  assert.deepEqual(words(conversation), ['First question', 'First answer'])
})

test('a second answer hides the first; going back shows the newest that followed', () => {
  const { conversation, question, answer } = talk()
  addMessage(conversation, answer.id, { role: 'user', content: 'a' })
  addMessage(conversation, answer.id, { role: 'user', content: 'b' })
  addMessage(conversation, question.id, { role: 'assistant', content: 'Second answer' })
  assert.deepEqual(words(conversation), ['First question', 'Second answer'])
  showVersion(conversation, answer.id)
  assert.deepEqual(words(conversation), ['First question', 'First answer', 'b'])
})

test('a given name stays', () => {
  const { conversation } = talk()
  conversation.title = 'Mine'
  conversation.named = true
  addMessage(conversation, null, { role: 'user', content: 'Edited' })
  assert.equal(conversation.title, 'Mine')
})

test('titles are short lines', () => {
  assert.equal(titleOf('# Hello\n\nworld'), 'Hello world')
  assert.equal(titleOf(' \n '), 'New conversation')
  const long = titleOf('word '.repeat(40))
  assert.ok([...long].length <= 49 && long.endsWith('word…'), long)
  assert.equal(titleOf('😀'.repeat(60)), `${'😀'.repeat(48)}…`)
})

test('the prompt leaves out what was never said', () => {
  const { conversation, answer } = talk()
  const again = addMessage(conversation, answer.id, { role: 'user', content: 'Again' })
  addMessage(conversation, again.id, { role: 'assistant', content: '', error: { message: 'x', status: 500 } })
  assert.deepEqual(promptOf(pathOf(conversation), ' Be brief. '), [
    { role: 'system', content: ' Be brief. ' },
    { role: 'user', content: 'First question' },
    { role: 'assistant', content: 'First answer' },
    { role: 'user', content: 'Again' },
  ])
  assert.equal(promptOf(pathOf(conversation), ' ')[0].role, 'user')
})

test('what was stored is what is read', () => {
  const { conversation } = talk()
  assert.deepEqual(readConversation(JSON.parse(JSON.stringify(conversation))), conversation)
})

test('malformed storage is refused, or its fine part kept', () => {
  for (const bad of [null, 7, 'text', [], {}, { id: 1, messages: [] }, { id: 'a', messages: 'x' }]) {
    assert.equal(readConversation(bad), null)
  }
  const { conversation, question, answer } = talk()
  const damaged = readConversation({
    ...conversation,
    title: 5,
    head: 'nowhere',
    messages: [
      question,
      null,
      { ...answer, role: 'system' },
      { ...answer, content: 3 },
      { ...answer, parent: 'later' },
      { ...answer, id: question.id },
      answer,
    ],
  })
  assert.equal(damaged.title, 'Conversation')
  assert.deepEqual(words(damaged), ['First question', 'First answer'])
})

test('a loop of parents ends', () => {
  const loop = { id: 'x', head: 'a', messages: [{ id: 'a', parent: 'b' }, { id: 'b', parent: 'a' }] }
  assert.equal(pathOf(loop).length, 2)
})

test('export as Markdown', () => {
  const { conversation } = talk()
  assert.equal(toMarkdown(conversation), '# First question\n\n## You\n\nFirst question\n\n## Answer\n\nFirst answer\n')
})
