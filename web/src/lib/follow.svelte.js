/**
 * Keeps a scrolling element at its end while its content grows, until the reader scrolls up; then leaves it
 * where the reader is, until the end is reached again or asked for.
 */
export class Follow {
  following = $state(true)
  #node = null

  attach = (node) => {
    this.#node = node
    let top = node.scrollTop
    const onScroll = () => {
      const gap = node.scrollHeight - node.clientHeight - node.scrollTop
      if (node.scrollTop < top - 1 && gap > 8) this.following = false
      else if (gap < 24) this.following = true
      top = node.scrollTop
    }
    const observer = new ResizeObserver(() => {
      if (this.following) node.scrollTop = node.scrollHeight
    })
    observer.observe(node)
    for (const child of node.children) observer.observe(child)
    node.addEventListener('scroll', onScroll, { passive: true })
    return () => {
      observer.disconnect()
      node.removeEventListener('scroll', onScroll)
      this.#node = null
    }
  }

  toEnd() {
    this.following = true
    if (this.#node) this.#node.scrollTop = this.#node.scrollHeight
  }
}
