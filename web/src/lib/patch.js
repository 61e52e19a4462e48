/**
 * Makes the children of `target` those of `source`, and keeps every element that need not change: a selection,
 * a focus or a scrolled code block outlives the text that arrives after it.
 */
export function patch(target, source) {
  const wanted = [...source.childNodes]
  wanted.forEach((node, index) => {
    const old = target.childNodes[index]
    if (!old) target.append(node)
    else if (!old.isEqualNode(node)) patchNode(old, node)
  })
  while (target.childNodes.length > wanted.length) target.lastChild.remove()
}

function patchNode(old, node) {
  if (old.nodeType === Node.TEXT_NODE && node.nodeType === Node.TEXT_NODE) {
    // Appending keeps a selection inside what was there.
    if (node.data.startsWith(old.data)) old.appendData(node.data.slice(old.data.length))
    else old.data = node.data
  } else if (old.nodeType === Node.ELEMENT_NODE && old.nodeName === node.nodeName) {
    for (const { name } of [...old.attributes]) if (!node.hasAttribute(name)) old.removeAttribute(name)
    for (const { name, value } of [...node.attributes]) old.setAttribute(name, value)
    patch(old, node)
  } else {
    old.replaceWith(node)
  }
}
