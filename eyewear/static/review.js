// The page of a review. It asks Python what to show and sends what you decide; it keeps nothing itself.

const KEYS = 'Keys: space keeps, 1 to 9 relabel, x takes out, z undoes, arrows step, n and p turn pages, a chooses all'

function h(tag, props = {}, ...kids) { // An element: `on…` are listeners, the rest attributes; null and false are left out
  const e = document.createElement(tag)
  for (const [k, v] of Object.entries(props)) {
    if (k.startsWith('on')) e.addEventListener(k.slice(2), v)
    else if (v !== null && v !== false && v !== undefined) e.setAttribute(k, v === true ? '' : v)
  }
  e.append(...kids.flat().filter(o => o !== null && o !== undefined && o !== false))
  return e
}

const percent = x => x === null ? '' : `${Math.round(100 * x)}%`
const labelled = c => c.gone ? 'gone' : c.out ? 'taken out' : c.label

function bar(x) { return h('span', {class: 'er-bar', 'aria-hidden': 'true'}, h('span', {style: `width:${100 * Math.min(Math.max(x, 0), 1)}%`})) }

function grey(cell, kind) { return h('span', {class: `er-grey ${kind}`}, cell.wrong.replace(`${cell.name}: `, '')) }

function picture(cell, url, kind) {
  return url ? h('img', {class: kind, src: url, alt: `${cell.name}, ${labelled(cell)}`, draggable: 'false'}) : grey(cell, kind)
}

function facts(f) { // What is known of the photo in focus
  const line = (name, ...what) => h('div', {}, h('span', {class: 'er-soft'}, name), h('span', {}, ...what))
  const changed = f.was !== f.label && !f.gone
  return [
    h('div', {class: 'er-title'}, h('p', {class: 'er-soft'}, [f.name, f.part].filter(Boolean).join(' · ')),
      h('p', {class: 'er-label'}, !f.gone && !f.out && h('span', {class: 'er-soft'}, 'labelled'), ' ', labelled(f),
        f.decided && h('span', {class: 'er-badge'}, changed ? `was ${f.was ?? 'taken out'}` : 'kept'))),
    h('div', {class: 'er-facts'},
      line('Why', f.why, f.reason !== 'other' && !f.why.includes(f.reason) && h('span', {class: 'er-soft'}, ` (${f.reason})`)),
      f.guess && line('Model says', h('b', {}, f.guess), ' ', percent(f.sure), f.sure !== null && bar(f.sure)),
      f.confidence !== null && f.guess !== f.was && line(`and ${f.was}`, percent(f.confidence), bar(f.confidence)),
      f.loss !== null && line('Loss', f.loss.toFixed(2))),
    f.near.map(row => h('figure', {class: 'er-near'},
      h('figcaption', {}, 'Nearest under ', h('b', {}, row.label)),
      h('div', {}, row.photos.map(o => o.url
        ? h('img', {src: o.url, alt: `${o.name}, ${row.label}`, title: o.name}) : h('span', {class: 'er-grey'}, '?')))))].flat()
}

function render({model, el}) {
  const me = Math.random().toString(36).slice(2), voila = document.body.dataset.voila === 'voila'
  const picked = new Set()
  let s = null, asked = 0, waiting = null, lost = false, timers = [], anchor = null, mouse = false

  // -- The parts that stay
  const seen = h('span'), meter = h('progress', {max: 1, value: 0, 'aria-label': 'Photos seen'})
  const filters = h('div', {class: 'er-filters'}), stage = h('div', {class: 'er-stage'}), acts = h('div', {class: 'er-acts'}), moves = h('div', {class: 'er-moves'})
  const status = h('p', {class: 'er-status', role: 'status', 'aria-live': 'polite'}), again = h('button', {onclick: () => ask({do: 'show'}, {}, true)}, 'Ask again')
  const grid = h('div', {class: 'er-grid', role: 'group', 'aria-label': 'Photos of this page'}), pager = h('div', {class: 'er-pager'})
  const root = h('div', {class: 'er', tabindex: 0, role: 'region', 'aria-label': `Review of photos. ${KEYS}`,
    'data-lm-suppress-shortcuts': 'true', onkeydown: onKey, onpointerdown: () => { mouse = true }},
    h('div', {class: 'er-head'}, h('div', {class: 'er-progress'}, seen, meter), filters), stage, acts, h('div', {class: 'er-say'}, h('div', {}, status, again), moves), grid, pager)
  again.hidden = true

  // -- Ask and be answered: one question at a time, and nothing is shown as done before the answer
  function ask(msg, view = {}, anew = false) {
    if (waiting && !anew) return
    waiting = `${me}-${++asked}`
    timers.forEach(clearTimeout)
    timers = [setTimeout(() => say(msg.do === 'show' ? 'Loading…' : 'Saving…'), 300), setTimeout(silence, 5000)]
    const base = s ? {...s.view, focus: s.focus?.name ?? null} : {}
    if ('page' in view) delete base.focus
    try { model.send({id: waiting, ...msg, view: {...base, ...view}}) } catch { silence() }
  }
  function silence() {
    lost = true
    say('No answer: Python is busy or has ended, and what you decided last may not be saved. Load the page again, or run the cell again.', true)
    again.hidden = false
  }
  function onAnswer(msg) {
    if (msg?.id !== waiting) return
    timers.forEach(clearTimeout)
    waiting = null
    lost = false
    again.hidden = true
    const before = s
    if (msg.view) s = msg
    if (!before || s?.page !== before.page || msg.said || JSON.stringify(s.view) !== JSON.stringify(before.view)) picked.clear()
    if (s) draw()
    say([msg.said, msg.wrong].filter(Boolean).join(' — ') || (s?.focus ? '' : nothing()), !!msg.wrong)
  }
  const nothing = () => s.total === 0 ? 'The queue is empty: nothing to review.' : s.view.only && s.seen ? 'All of these are decided.' : 'No photo passes these filters.'
  function say(text, wrong = false) { status.textContent = text; status.classList.toggle('er-wrong', wrong) }

  // -- What you can do
  const targets = () => picked.size ? [...picked] : s?.focus ? [s.focus.name] : []
  function decide(to) { if (targets().length) ask({do: 'decide', names: targets(), to}) }
  const keep = () => { if (targets().length) ask({do: 'keep', names: targets()}) }
  const undo = () => ask({do: 'undo'})
  const step = by => ask({do: 'show'}, {step: by})
  const turn = by => { if (s && s.page + by >= 0 && s.page + by < s.pages) ask({do: 'show'}, {page: s.page + by}) }
  function toggle(name) { picked.has(name) ? picked.delete(name) : picked.add(name); anchor = name; draw() }
  function all() {
    const names = s.cells.filter(c => !c.gone).map(c => c.name)
    const every = names.every(o => picked.has(o))
    picked.clear()
    if (!every) names.forEach(o => picked.add(o))
    draw()
  }
  function choose(ev, name) {
    const names = s.cells.map(c => c.name)
    if (ev.ctrlKey || ev.metaKey) {
      if (!picked.size && s.focus && s.focus.name !== name) picked.add(s.focus.name)
      return toggle(name)
    }
    if (ev.shiftKey) {
      const [a, b] = [names.indexOf(anchor ?? s.focus?.name), names.indexOf(name)].sort((x, y) => x - y)
      names.slice(Math.max(a, 0), b + 1).forEach(o => picked.add(o))
      return draw()
    }
    picked.clear()
    anchor = name
    ask({do: 'show'}, {focus: name})
  }

  function onKey(ev) {
    mouse = false
    if (ev.ctrlKey || ev.metaKey || ev.altKey || ev.isComposing) return
    ev.stopPropagation()                                     // Jupyter has shortcuts of its own: x cuts a cell
    const t = ev.target, own = t.matches('button, input') && [' ', 'Enter'].includes(ev.key)
    if (t.matches('select, textarea') || own || !s) return
    const n = '123456789'.indexOf(ev.key)
    const does = {' ': keep, x: () => decide(null), z: undo, a: all, n: () => turn(1), p: () => turn(-1), Escape: () => { picked.clear(); draw() },
      ArrowLeft: () => step(-1), ArrowRight: () => step(1)}[ev.key.length === 1 ? ev.key.toLowerCase() : ev.key] ?? (n >= 0 && n < s.labels.length && (() => decide(s.labels[n])))
    if (!does) return
    ev.preventDefault()
    if (!ev.repeat || ev.key.startsWith('Arrow')) does()    // a key held down decides once
  }
  const back = () => { if (mouse) root.focus({preventScroll: true}) } // after a click, keys go to the widget again

  // -- Draw what Python said
  function button(text, key, does, props = {}) {
    return h('button', {type: 'button', 'data-key': text, onclick: () => { does(); back() }, ...props}, h('span', {}, text), key && h('kbd', {'aria-hidden': 'true'}, key))
  }
  function drawFilters() {
    const field = (name, title, options, value) => h('label', {}, h('span', {}, title),
      h('select', {'data-key': name, onchange: ev => { ask({do: 'show'}, {[name]: ev.target.value, page: 0}); back() }},
        options.map(([v, text]) => h('option', {value: v, selected: v === value}, text))))
    const some = (name, title) => s.options[name].length > 1 && field(name, title,
      [['', 'all'], ...s.options[name].map(([o, n]) => [o, `${o === '.removed' ? 'taken out' : o} (${n})`])], s.view[name])
    filters.replaceChildren(...[some('label', 'Label'), some('reason', 'Reason'), some('part', 'Part'),
      field('order', 'Order', [['suspicious', 'most suspicious'], ['loss', 'top losses per label']], s.view.order),
      h('label', {class: 'er-only'}, h('input', {type: 'checkbox', 'data-key': 'only', checked: s.view.only,
        onchange: ev => { ask({do: 'show'}, {only: ev.target.checked, page: 0}); back() }}), 'only undecided')].filter(Boolean))
  }
  function drawActs() {
    const f = s.focus, none = !targets().length || (!picked.size && f.gone), many = picked.size > 1
    const label = (o, i) => button(o, i < 9 && String(i + 1), () => decide(o), {disabled: none, 'aria-label': `Label ${o}`,
      class: [!many && f?.label === o && 'er-now', !many && f?.guess === o && f.guess !== f.was && 'er-guess'].filter(Boolean).join(' ')})
    acts.replaceChildren(h('span', {class: 'er-many'}, picked.size ? `${picked.size} chosen` : ''),
      button('Keep', 'space', keep, {class: 'er-main', disabled: none || (!picked.size && f.out)}), ...s.labels.map(label),
      button('Take out', 'x', () => decide(null), {disabled: none}))
    moves.replaceChildren(button('Undo', 'z', undo), button('Previous', '←', () => step(-1), {disabled: !f}), button('Next', '→', () => step(1), {disabled: !f}))
  }
  function drawGrid() {
    grid.replaceChildren(...s.cells.map(c => {
      const done = c.decided && (c.out ? '✕ out' : c.label === c.was ? '✓ kept' : `→ ${c.label}`), here = c.name === s.focus?.name
      return h('div', {class: ['er-cell', here && 'er-here', picked.has(c.name) && 'er-picked', c.decided && 'er-done', c.gone && 'er-gone'].filter(Boolean).join(' ')},
        h('button', {type: 'button', class: 'er-pic', 'data-key': c.name, 'aria-current': here ? 'true' : null, title: c.name,
          'aria-label': `${c.name}, ${labelled(c)}, ${c.why}${c.decided ? ', decided' : ''}`, onclick: ev => { choose(ev, c.name); back() }}, picture(c, c.url, 'er-thumb')),
        !c.gone && h('input', {type: 'checkbox', 'data-key': `pick ${c.name}`, checked: picked.has(c.name), 'aria-label': `Choose ${c.name}`, onchange: () => { toggle(c.name); back() }}),
        done && h('span', {class: 'er-badge'}, done),
        h('span', {class: 'er-cap'}, h('b', {}, labelled(c)), ' ', h('span', {class: 'er-soft'}, c.why)))
    }))
  }
  function draw() {
    const at = root.contains(document.activeElement) && document.activeElement !== root ? document.activeElement.dataset.key : null, held = root.contains(document.activeElement)
    seen.textContent = `${s.seen} of ${s.total} seen`
    meter.max = Math.max(s.total, 1)
    meter.value = s.seen
    stage.replaceChildren(...(s.focus ? [picture(s.focus, s.focus.big, 'er-big'), h('div', {class: 'er-side'}, ...facts(s.focus))] : [h('p', {class: 'er-none'}, nothing())]))
    drawFilters()
    drawActs()
    drawGrid()
    pager.replaceChildren(button('Page back', 'p', () => turn(-1), {disabled: s.page === 0}),
      h('span', {}, s.n ? `${s.first} to ${s.first + s.cells.length - 1} of ${s.n}` : 'none'), button('Page on', 'n', () => turn(1), {disabled: s.page >= s.pages - 1}),
      h('span', {class: 'er-gap'}), button('All of this page', 'a', all, {disabled: !s.cells.length}))
    const same = at && [...root.querySelectorAll('[data-key]')].find(o => o.dataset.key === at && !o.disabled)
    if (same) same.focus({preventScroll: true})
    else if (held) root.focus({preventScroll: true})
  }

  model.on('msg:custom', onAnswer)
  el.append(h('div', {class: 'er-box'}, root))
  ask({do: 'show'})
  if (voila) root.focus({preventScroll: true})
  return () => { timers.forEach(clearTimeout); model.off('msg:custom', onAnswer) }
}

export default {render}
