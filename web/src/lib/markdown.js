/**
 * Markdown of a model to elements of the page. What a model writes is hostile until shown otherwise: HTML in it
 * is shown as text, what comes of the Markdown passes a list of allowed elements and attributes, links only lead
 * to the web or to mail, and nothing is ever loaded (pictures become links), so that an answer can neither run
 * nor report anything.
 */
import DOMPurify from 'dompurify'
import { Marked } from 'marked'
import { highlight } from './highlight.js'

const escape = (text) => text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`)

// The only elements a model may write itself, and without attributes; any other HTML is shown as the text it is.
const ownElements = /^<\/?(?:b|br|del|i|kbd|mark|s|sub|sup|u)\s*\/?>$/i
const showHtml = (text) => text.replace(/<[^<>]*>|[^<>]+|[<>]/g, (part) => (ownElements.test(part) ? part : escape(part)))

const marked = new Marked({
  gfm: true,
  breaks: false,
  renderer: {
    code({ text, lang }) {
      const language = (lang ?? '').trim().split(/\s+/)[0].toLowerCase()
      return `<pre data-language="${escape(language)}"><code>${highlight(text, language)}</code></pre>`
    },
    html({ block, text }) {
      return block ? `<p>${showHtml(text.trim())}</p>` : showHtml(text)
    },
    image({ href, title, text }) {
      return `<a href="${escape(href)}">${escape(text || title || href)}</a>`
    },
    // A table may be wider than the page: it scrolls on its own.
    table(token) {
      const row = (cells, tag) =>
        `<tr>${cells
          .map((cell) => `<${tag}${cell.align ? ` align="${cell.align}"` : ''}>${this.parser.parseInline(cell.tokens)}</${tag}>`)
          .join('')}</tr>`
      const body = token.rows.map((cells) => row(cells, 'td')).join('')
      return `<div tabindex="0"><table><thead>${row(token.header, 'th')}</thead><tbody>${body}</tbody></table></div>`
    },
  },
})

const purifyOptions = {
  ALLOWED_TAGS: [
    'a', 'b', 'blockquote', 'br', 'code', 'del', 'div', 'em', 'h1', 'h2', 'h3', 'h4', 'h5',
    'h6', 'hr', 'i', 'input', 'kbd', 'li', 'mark', 'ol', 'p', 'pre', 's', 'span', 'strong', 'sub', 'sup', 'table',
    'tbody', 'td', 'th', 'thead', 'tr', 'u', 'ul',
  ],
  ALLOWED_ATTR: ['align', 'checked', 'class', 'data-language', 'disabled', 'href', 'start', 'tabindex', 'type'],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  // By default every attribute's value would have to look like such an address.
  ADD_URI_SAFE_ATTR: ['align', 'checked', 'data-language', 'disabled', 'start', 'tabindex', 'type'],
  RETURN_DOM_FRAGMENT: true,
}

let purifier = null

function createPurifier() {
  const purify = DOMPurify(window)
  purify.addHook('uponSanitizeAttribute', (node, data) => {
    // Classes are the highlighter's only; the rest of the page's styles are not for the model to wear.
    if (data.attrName === 'class' && !/^hljs-[\w-]+(?: (?:hljs-[\w-]+|[a-z]+_+))*$/.test(data.attrValue)) data.keepAttr = false
    if (data.attrName === 'tabindex' && node.nodeName !== 'DIV') data.keepAttr = false
  })
  purify.addHook('afterSanitizeAttributes', (node) => {
    if (node.nodeName === 'A') {
      node.setAttribute('target', '_blank')
      node.setAttribute('rel', 'noopener noreferrer nofollow')
    }
    if (node.nodeName === 'INPUT') {
      // Task lists; nothing that can be typed into or clicked.
      if (node.getAttribute('type') !== 'checkbox') node.remove()
      else node.setAttribute('disabled', '')
    }
  })
  return purify
}

/**
 * The parts that a text is made of, in order: paragraphs, lists, code. A part that more text has followed never
 * changes again (but for links whose definition follows), so only the last needs rendering as text arrives.
 * @returns {{raw: string, tokens: object[]}[]}
 */
export function blocksOf(text) {
  const tokens = marked.lexer(text)
  return tokens
    .filter((token) => token.type !== 'space' && token.type !== 'def')
    .map((token) => ({ raw: token.raw, tokens: Object.assign([token], { links: tokens.links }) }))
}

/** @returns {DocumentFragment} what of some HTML is on the list */
export function sanitise(html) {
  purifier ??= createPurifier()
  return purifier.sanitize(html, purifyOptions)
}

/** @returns {DocumentFragment} */
export const renderBlock = (block) => sanitise(marked.parser(block.tokens))

/** The words of a block, for a screen reader. */
export function plainText(block) {
  return block.tokens[0].type === 'code' ? 'Code.' : renderBlock(block).textContent.trim()
}
