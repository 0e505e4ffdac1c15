// A map of photos, or a table of what a model says of them. Thumbnails are asked of Python when they are looked at,
// and kept in the page; what you choose is sent to the review, which Python opens below.

const MAP = 'Drag a rectangle or click to choose photos; shift adds.'
const KEYS = 'Keys: arrows walk, n and p go through the ringed ones, space chooses, Escape chooses none, Enter reviews.'
const TEST = 'Test photos are faded: look at them, but they measure the model, so none of them goes to the review.'

const many = (n, what = 'photo') => `${n} ${what}${n === 1 ? '' : 's'}`
const called = at => at === null ? 'gone' : at === '.removed' ? 'taken out' : at
const clamp = (x, lo, hi) => Math.max(lo, Math.min(x, hi))

function render({model, el}) {
  const me = Math.random().toString(36).slice(2), photos = new Map(), waiting = new Map()
  let s = null, board = null, chosen = [], asked = 0

  // -- The parts that stay
  const div = (name, ...kids) => h('div', {class: name}, ...kids)
  const place = div('em-place'), tray = div('em-tray')
  const status = h('p', {role: 'status', 'aria-live': 'polite'}), tell = h('p', {class: 'er-hidden', 'aria-live': 'polite'})
  const again = h('button', {type: 'button', hidden: true, onclick: show}, 'Ask again')
  const root = h('div', {class: 'er em', role: 'region', 'aria-busy': 'true', 'data-lm-suppress-shortcuts': 'true',
    onkeydown: ev => { if (!ev.ctrlKey && !ev.metaKey && !ev.altKey) ev.stopPropagation() }}, // Jupyter has shortcuts of its own
    place, div('er-say', div('status', status, again)), tray, tell)

  // -- Ask and be answered
  function ask(msg, answered) {
    const id = `${me}-${++asked}`
    const late = setTimeout(silence, 5000)
    waiting.set(id, a => { clearTimeout(late); answered(a) })
    root.ariaBusy = 'true'
    try { model.send({id, ...msg}) } catch { silence() }
  }
  function silence() {
    say('No answer: Python is busy or has ended. Load the page again, or run the cell again.', true)
    again.hidden = false
  }
  function onAnswer(msg) {
    const answered = waiting.get(msg?.id)
    if (!answered) return msg?.now && s && update(msg.now)     // a photo was relabelled in the review
    waiting.delete(msg.id)
    if (!again.hidden) { again.hidden = true; say('') }
    root.ariaBusy = waiting.size ? 'true' : 'false'
    if (msg.wrong) say(msg.wrong, true)
    else answered(msg)
  }
  function show() {
    ask({do: 'show'}, a => {
      board?.end?.()
      s = {...a, row: new Map(a.names.map((o, i) => [o, i]))}
      board = (s.kind === 'map' ? scatter : matrix)(s, {place, look, choose, tell, review})
      root.ariaLabel = s.kind === 'map' ? 'Map of photos' : 'What the model says, by label'
      update(s.now)
      choose([])
    })
  }
  function update(now) {
    s.now = now
    board.draw()
    if (s.kind === 'table') choose(board.names(), board.title())
  }
  function say(text, wrong = false) {
    status.textContent = text
    status.classList.toggle('er-wrong', wrong)
  }

  // -- Look, choose, review
  function look(names, then) { // Thumbnails that are here are shown at once; where the photos lie is asked each time
    const have = names.filter(o => photos.has(o))
    if (have.length) then(photos)
    ask({do: 'look', names, have}, a => {
      for (const [name, p] of Object.entries(a.photos)) photos.set(name, {...photos.get(name), ...p})
      then(photos)
    })
  }
  const test = name => s.test[s.row.get(name)]
  function choose(names, title = '') {
    chosen = names
    const some = names.filter(o => !test(o)), left = names.length - some.length, first = names.slice(0, 24)
    const grid = div('er-grid')
    const fill = () => grid.replaceChildren(...first.map(o => {
      const p = photos.get(o)
      const pic = p?.url ? h('img', {class: 'er-thumb', src: p.url, alt: `${o}, ${called(p.at)}`})
        : h('span', {class: 'er-grey er-thumb'}, p?.wrong?.replace(`${o}: `, '') ?? '…')
      return h('figure', {class: `er-cell${test(o) ? ' em-faded' : ''}`, title: o}, h('div', {class: 'er-pic'}, pic),
        h('figcaption', {class: 'er-cap er-soft'}, board.caption(o), test(o) && ' (test)'))
    }))
    fill()
    if (first.length) look(first, () => { if (chosen === names) fill() })
    const out = left > 0 && ` ${left} of them ${left === 1 ? 'is a test photo' : 'are test photos'}: to look at only.`
    const more = names.length > 24 && ` The first 24 of ${names.length}:`
    tray.replaceChildren(...(!names.length ? [] : [div('er-acts',
      h('button', {type: 'button', class: 'er-main', disabled: !some.length, onclick: review},
        `Review ${some.length === 1 ? 'this one' : `these ${some.length}`}`),
      h('button', {type: 'button', onclick: () => board.none()}, 'Choose none'),
      h('p', {class: 'em-what'}, title || `${many(names.length)} chosen.`, out, more)), grid]))
  }
  function review() {
    const names = chosen.filter(o => !test(o))
    if (!names.length) return
    ask({do: 'review', names}, a => {
      update(a.now)
      say(a.said)
      let left = 50
      const go = () => { // The review is another widget: it comes a moment later
        const there = el.closest('.widget-vbox')?.querySelector('.er:not(.em)')
        if (!there?.querySelector('.er-cell') && left-- > 0) return setTimeout(go, 100)
        there?.focus({preventScroll: true})
        there?.scrollIntoView({block: 'nearest'})
      }
      setTimeout(go, 200)
    })
  }

  model.on('msg:custom', onAnswer)
  el.append(h('div', {class: 'er-box'}, root))
  show()
  return () => { board?.end?.(); model.off('msg:custom', onAnswer) }
}

// -- The map

const SHAPES = ['M1 0A1 1 0 1 1-1 0A1 1 0 1 1 1 0Z', 'M-.9-.9H.9V.9H-.9Z', 'M0-1.25L1.25 0L0 1.25L-1.25 0Z', // as in `plot_map`
  'M0-1.1L1.15 .8H-1.15Z', 'M0 1.1L-1.15-.8H1.15Z']
const shape = k => k < 0 ? 'M-1-1L1 1M1-1L-1 1' : SHAPES[k % SHAPES.length]

function swatch(k, colour) { // The mark of a label, for the legend
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg'), path = document.createElementNS(svg.namespaceURI, 'path')
  for (const [a, v] of [['viewBox', '-2 -2 4 4'], ['width', 18], ['height', 18], ['aria-hidden', 'true']]) svg.setAttribute(a, v)
  for (const [a, v] of [['d', shape(k)], ['fill', colour], ['stroke', 'currentColor'], ['stroke-width', .15]]) path.setAttribute(a, v)
  svg.append(path)
  return svg
}

function scatter(s, {place, look, choose, tell, review}) {
  const {names, xy} = s, hidden = new Set(), picked = new Set()
  const ringed = names.map((o, i) => i).filter(i => s.queued[i])
  let at = -1, drag = null, touch = false, frame = 0, soon = 0, w = 0, hgt = 0

  const canvas = h('canvas', {class: 'em-canvas', tabindex: 0, role: 'application', 'aria-label': `Map of ${many(names.length)}. ${KEYS}`,
    onpointerdown: down, onpointermove: move, onpointerup: up, onpointercancel: () => { drag = null; draw() },
    onpointerleave: () => { if (!drag && !touch && !canvas.matches(':focus-visible')) focus(-1) }, onkeydown: key,
    onfocus: () => { if (at < 0 && canvas.matches(':focus-visible')) focus(start()) },
    onblur: () => focus(-1), ontransitionend: draw})             // a transition ends when the page turns light or dark
  const card = h('div', {class: 'em-card', hidden: true}), plot = h('div', {class: 'em-plot'}, canvas, card)
  const legend = h('div', {class: 'em-legend', role: 'group', 'aria-label': 'Labels shown'})
  place.replaceChildren(h('p', {class: 'em-title'}, 'Photos that look alike lie together. Which marks lie among those of another label?'),
    legend, plot, h('p', {class: 'er-soft'}, h('span', {class: 'em-fine'}, `${MAP} ${KEYS}`),
      h('span', {class: 'em-touch'}, 'Tap marks to choose photos.'), s.test.some(Boolean) && ` ${TEST}`))
  const size = new ResizeObserver(() => { if (plot.clientWidth !== w) draw() })
  size.observe(plot)

  let label = []                                                 // the number of each photo's label; -1: taken out or gone
  const seen = i => !hidden.has(label[i])
  const start = () => ringed.find(seen) ?? names.findIndex((o, i) => seen(i))
  const x = i => 22 + xy[i][0] * (w - 44), y = i => hgt - 22 - xy[i][1] * (hgt - 44)

  // -- Draw
  function draw() { frame ||= requestAnimationFrame(() => { frame = 0; paint() }) }
  function drawAll() {
    label = s.now.at.map(o => s.now.labels.indexOf(o))
    const keys = [...s.now.labels.map((o, k) => [k, o]), ...(label.includes(-1) ? [[-1, 'taken out or gone']] : [])]
    const toggle = (ev, k) => {
      hidden.has(k) ? hidden.delete(k) : hidden.add(k)
      ev.currentTarget.setAttribute('aria-pressed', `${!hidden.has(k)}`)
      for (const i of [...picked]) if (!seen(i)) picked.delete(i)
      chose()
    }
    legend.replaceChildren(...keys.map(([k, o]) => h('button',
      {type: 'button', 'aria-pressed': `${!hidden.has(k)}`, onclick: ev => toggle(ev, k)},
      swatch(k, k < 0 ? 'none' : s.colours[k % s.colours.length]), `${o} (${label.filter(l => l === k).length})`)),
      ringed.length ? h('span', {}, h('i', {class: 'em-ring'}), `worth a look (${ringed.length})`) : '')
    draw()
  }
  function paint() {
    const dpr = devicePixelRatio || 1, css = getComputedStyle(canvas), g = canvas.getContext('2d')
    w = plot.clientWidth
    hgt = Math.round(clamp(w * .62, Math.min(w, 300), 520))
    if (canvas.width !== Math.round(w * dpr) || canvas.height !== Math.round(hgt * dpr)) {
      Object.assign(canvas, {width: Math.round(w * dpr), height: Math.round(hgt * dpr)})
      canvas.style.height = `${hgt}px`
    }
    g.setTransform(dpr, 0, 0, dpr, 0, 0)
    g.clearRect(0, 0, w, hgt)
    const r = names.length > 1000 ? 3.5 : w < 400 ? 4 : 5, here = names.map((o, i) => i).filter(seen)
    const marks = (k, some) => { // One path for all marks of a label: thousands are drawn in a few milliseconds
      const path = new Path2D(), one = new Path2D(shape(k))
      for (const i of some) path.addPath(one, new DOMMatrix([r, 0, 0, r, x(i), y(i)]))
      return path
    }
    const rings = (some, radius, width, colour) => {
      g.beginPath()
      for (const i of some) { g.moveTo(x(i) + radius, y(i)); g.arc(x(i), y(i), radius, 0, 7) }
      Object.assign(g, {lineWidth: width, strokeStyle: colour})
      g.stroke()
    }
    for (const test of [true, false]) {
      g.globalAlpha = test ? .3 : .9
      for (let k = -1; k < s.now.labels.length; k++) {
        const path = marks(k, here.filter(i => label[i] === k && s.test[i] === test))
        g.fillStyle = s.colours[(k + s.colours.length) % s.colours.length]
        if (k >= 0) g.fill(path)
        Object.assign(g, {lineWidth: k < 0 ? 1.5 : .6, strokeStyle: css.color})
        g.stroke(path)
      }
    }
    g.globalAlpha = 1
    rings([...picked], r + 4, 6, css.borderTopColor)
    rings(ringed.filter(seen), r + 3, 1.75, css.outlineColor)
    if (at >= 0) rings([at], r + 8, 2, css.color)
    if (drag?.box) {
      const b = drag.box
      g.fillStyle = g.strokeStyle = css.borderTopColor
      g.globalAlpha = .15
      g.fillRect(b.l, b.t, b.r - b.l, b.b - b.t)
      g.globalAlpha = 1
      g.lineWidth = 1
      g.strokeRect(b.l, b.t, b.r - b.l, b.b - b.t)
    }
  }

  // -- Look at one
  function focus(i) {
    if (i === at) return
    at = i
    draw()
    clearTimeout(soon)
    if (i < 0) { card.hidden = true; return }
    soon = setTimeout(() => look([names[i]], photos => { if (at === i) fill(i, photos.get(names[i])) }), 50)
  }
  function fill(i, p) {
    if (p.at !== undefined && p.at !== s.now.at[i]) { s.now.at[i] = p.at; drawAll() }
    const facts = [s.says[i] && `Model says ${s.says[i]}`, s.why[i] && s.why[i] !== s.says[i] && `Worth a look: ${s.why[i]}`,
      s.test[i] && 'Test photo: to look at only']
    const pic = p.url ? h('img', {src: p.url, alt: ''}) : h('span', {class: 'er-grey'}, (p.wrong || '').replace(`${names[i]}: `, ''))
    card.replaceChildren(pic, h('b', {}, called(s.now.at[i])), ...facts.filter(Boolean).map(o => h('span', {}, o)),
      h('span', {class: 'er-soft'}, names[i]))
    card.hidden = false
    const {offsetWidth: cw, offsetHeight: ch} = card
    card.style.left = `${clamp(x(i) + 18 + cw < w ? x(i) + 18 : x(i) - 18 - cw, 0, Math.max(w - cw, 0))}px`
    card.style.top = `${clamp(y(i) - ch / 2, 0, Math.max(hgt - ch, 0))}px`
    speak(i)
  }
  function speak(i) {
    tell.textContent = [names[i], called(s.now.at[i]), s.says[i] && `model says ${s.says[i]}`, s.why[i] && 'worth a look',
      s.test[i] && 'test photo', picked.has(i) && 'chosen'].filter(Boolean).join(', ')
  }

  // -- Choose
  function chose() {
    choose([...picked].map(i => names[i]))
    draw()
  }
  function pick(some, add) { // Test photos stay out
    const ok = some.filter(i => !s.test[i])
    if (!add) picked.clear()
    ok.forEach(i => picked.add(i))
    chose()
  }
  function toggle(i, add) {
    if (add && picked.has(i)) { picked.delete(i); chose() } else pick([i], add)
    speak(i)
  }
  function nearest(px, py, most) {
    let best = -1, least = most ** 2
    names.forEach((o, i) => {
      const d = (x(i) - px) ** 2 + (y(i) - py) ** 2
      if (d < least && seen(i)) { best = i; least = d }
    })
    return best
  }
  function down(ev) {
    if (ev.button || !ev.isPrimary) return
    touch = ev.pointerType === 'touch'
    drag = {x: ev.offsetX, y: ev.offsetY, box: null}
    if (!touch) canvas.setPointerCapture(ev.pointerId)
  }
  function move(ev) {
    if (drag && !touch && (drag.box || Math.hypot(ev.offsetX - drag.x, ev.offsetY - drag.y) > 4)) {
      const [px, py] = [clamp(ev.offsetX, 0, w), clamp(ev.offsetY, 0, hgt)]
      drag.box = {l: Math.min(drag.x, px), r: Math.max(drag.x, px), t: Math.min(drag.y, py), b: Math.max(drag.y, py)}
      focus(-1)
      draw()
    } else if (!drag) focus(nearest(ev.offsetX, ev.offsetY, 16))
  }
  function up(ev) {
    const b = drag?.box, was = drag
    drag = null
    const inside = i => x(i) >= b.l && x(i) <= b.r && y(i) >= b.t && y(i) <= b.b
    if (b) pick(names.map((o, i) => i).filter(i => seen(i) && inside(i)), ev.shiftKey)
    else if (was) {
      const i = nearest(ev.offsetX, ev.offsetY, 40)
      if (i >= 0) { focus(i); toggle(i, touch || ev.shiftKey) } else if (!ev.shiftKey && !touch) pick([], false)
    }
    draw()
  }
  function none() {
    picked.clear()
    chose()
    canvas.focus({preventScroll: true})
  }
  function walk(dx, dy) { // To the nearest mark that way, or none
    let best = at, least = Infinity
    names.forEach((o, i) => {
      const [right, up] = [x(i) - x(at), y(i) - y(at)], ahead = right * dx + up * dy, aside = Math.abs(right * dy) + Math.abs(up * dx)
      if (i === at || !seen(i) || ahead <= 0 || ahead < aside / 2 || ahead + 2 * aside >= least) return
      best = i
      least = ahead + 2 * aside
    })
    focus(best)
  }
  function through(by) {
    const some = ringed.filter(seen), k = some.indexOf(at)
    if (some.length) focus(some[k < 0 ? (by > 0 ? 0 : some.length - 1) : (k + by + some.length) % some.length])
  }
  function key(ev) {
    if (ev.ctrlKey || ev.metaKey || ev.altKey) return
    const keys = {n: () => through(1), p: () => through(-1), escape: none, enter: review, ' ': () => { if (at >= 0) toggle(at, true) },
      arrowleft: () => walk(-1, 0), arrowright: () => walk(1, 0), arrowup: () => walk(0, -1), arrowdown: () => walk(0, 1)}
    const does = keys[ev.key.toLowerCase()]
    if (!does) return
    ev.preventDefault()
    if (at < 0 && ev.key.startsWith('Arrow')) return focus(start())
    does()
  }
  const caption = name => {
    const i = s.row.get(name)
    return [h('b', {}, called(s.now.at[i])), s.says[i] && ` model: ${s.says[i]}`]
  }
  return {draw: drawAll, none, caption, end: () => size.disconnect()}
}

// -- The table

function matrix(s, {place, choose}) {
  let here = null // The cell that is chosen: row and column
  const table = h('table', {class: 'em-table', onkeydown: key}), out = h('p', {class: 'er-soft'})
  const see = 'Rows: the label a photo carries. Columns: what the model says. Choose a cell to see its photos.'
  place.replaceChildren(h('p', {class: 'em-title'}, see), h('div', {class: 'em-scroll'}, table), out)
  const names = () => here ? s.now.cells[here[0]][here[1]].map(i => s.names[i]) : []
  const title = () => here ? `${s.now.labels[here[0]]}, model says ${s.now.labels[here[1]]}: ${many(names().length)}.` : ''
  function draw() {
    const {labels, cells} = s.now, [r0, c0] = here ?? [0, 0]
    const focused = table.contains(document.activeElement) && document.activeElement.closest('td').dataset.at
    const head = h('thead', {}, h('tr', {}, h('td'), labels.map(o => h('th', {scope: 'col'}, o))))
    table.replaceChildren(head, h('tbody', {}, cells.map((row, r) => {
      const all = row.reduce((n, o) => n + o.length, 0)
      return h('tr', {}, h('th', {scope: 'row'}, labels[r]), row.map((o, c) => {
        const rate = all ? o.length / all : 0
        return h('td', {'data-at': `${r} ${c}`, class: r === c ? 'em-right' : 'em-off', style: `--p: ${Math.round(45 * rate)}%`},
          h('button', {type: 'button', tabindex: r === r0 && c === c0 ? 0 : -1, 'aria-pressed': `${!!here && r === r0 && c === c0}`,
            'aria-label': `${labels[r]}, model says ${labels[c]}: ${many(o.length)}, ${percent(rate)} of the row`,
            onclick: () => set(r, c)},
            h('b', {}, `${o.length}`), h('span', {}, o.length ? percent(rate) : '')))
      }))
    })))
    out.textContent = s.now.out ? `${many(s.now.out)} in no cell: taken out, gone, or under another label.` : ''
    if (focused) table.querySelector(`[data-at="${focused}"] button`)?.focus()
  }
  function set(r, c) {
    here = here && here[0] === r && here[1] === c ? null : [r, c]
    draw()
    choose(names(), title())
  }
  function key(ev) {
    const by = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]}[ev.key]
    const td = ev.target.closest('td')
    if (!by || !td) return
    ev.preventDefault()
    const [r, c] = td.dataset.at.split(' ').map(Number)
    const next = table.querySelector(`[data-at="${r + by[0]} ${c + by[1]}"] button`)
    if (!next) return
    td.querySelector('button').tabIndex = -1
    next.tabIndex = 0
    next.focus()
  }
  const none = () => { here = null; draw(); choose([]) }
  return {draw, none, names, title, caption: o => percent(s.sure[s.row.get(o)])}
}

export default {render}
