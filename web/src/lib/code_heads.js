/**
 * Puts a head over every code block of a fragment: its language, and a button that copies it. The sanitiser lets
 * no button through, so every one in an answer is ours; `copyCode` is the listener for all of them.
 */
import { announcer } from './announcer.svelte.js'
import { copyText } from './clipboard.js'

export function withCodeHeads(fragment) {
  for (const pre of fragment.querySelectorAll('pre')) {
    const language = document.createElement('span')
    language.textContent = pre.dataset.language || 'text'
    const button = document.createElement('button')
    button.type = 'button'
    button.textContent = 'Copy'
    button.setAttribute('aria-label', 'Copy the code')
    const head = document.createElement('div')
    head.className = 'code-head'
    head.append(language, button)
    const box = document.createElement('div')
    box.className = 'code'
    pre.tabIndex = 0
    pre.replaceWith(box)
    box.append(head, pre)
  }
  return fragment
}

export async function copyCode(event) {
  const button = event.target.closest?.('.code-head button')
  if (!button) return
  const code = button.closest('.code').querySelector('pre').textContent.replace(/\n$/, '')
  const copied = await copyText(code)
  announcer.say(copied ? 'Code copied.' : 'The browser did not allow copying.')
  button.textContent = copied ? 'Copied' : 'Not allowed'
  setTimeout(() => (button.textContent = 'Copy'), 1600)
}
