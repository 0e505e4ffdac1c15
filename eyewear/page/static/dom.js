// What the pages of this package share; it stands before each of their own files.

// An element: `on…` are listeners, the rest attributes; null and false are left out
function h(tag, props = {}, ...kids) {
  const e = document.createElement(tag)
  for (const [k, v] of Object.entries(props)) {
    if (k.startsWith('on')) e.addEventListener(k.slice(2), v)
    else if (v !== null && v !== false && v !== undefined) e.setAttribute(k, v === true ? '' : v)
  }
  e.append(...kids.flat().filter(o => o !== null && o !== undefined && o !== false))
  return e
}

const percent = x => x === null ? '' : `${Math.round(100 * x)}%`
