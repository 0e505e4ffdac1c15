// The page of a review. It asks Python what to show and sends what you decide; it keeps nothing itself.

const KEYS = 'Keys: space keeps, 1 to 9 relabel, x takes out, z undoes, arrows step, n and p turn pages, a chooses all'

const called = label => label === '.removed' ? 'taken out' : label
const labelled = c => c.gone ? 'gone' : called(c.label)

function bar(x) {
  const width = 100 * Math.min(Math.max(x, 0), 1)
  return h('span', {class: 'er-bar', 'aria-hidden': 'true'}, h('span', {style: `width:${width}%`}))
}

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
        f.decided && h('span', {class: 'er-badge'}, changed ? `was ${called(f.was)}` : 'kept'))),
    h('div', {class: 'er-facts'},
      line('Why', f.why, f.reason !== 'other' && !f.why.includes(f.reason) && h('span', {class: 'er-soft'}, ` (${f.reason})`)),
      f.guess && line('Model says', h('b', {}, f.guess), ' ', percent(f.sure), f.sure !== null && bar(f.sure)),
      f.confidence !== null && f.guess !== f.was && line(`and ${called(f.was)}`, percent(f.confidence), bar(f.confidence)),
      f.loss !== null && line('Loss', f.loss.toFixed(2))),
    f.near.map(row => h('figure', {class: 'er-near'},
      h('figcaption', {}, 'Nearest under ', h('b', {}, row.label)),
      h('div', {}, row.photos.map(o => o.url
        ? h('img', {src: o.url, alt: `${o.name}, ${row.label}`, title: o.name}) : h('span', {class: 'er-grey'}, '?')))))].flat()
}

function render({model, el}) {
  const me = Math.random().toString(36).slice(2), voila = document.body.dataset.voila === 'voila'
  const picked = new Set()                                    // names chosen on this page
  let s = null, asked = 0, waiting = null, next = null, timers = [] // s: what Python said last; waiting: the open question
  let anchor = null, mouse = false

  // -- The parts that stay
  const div = (name, ...kids) => h('div', {class: `er-${name}`}, ...kids)
  const seen = h('span'), meter = h('progress', {max: 1, value: 0, 'aria-label': 'Photos seen'})
  const filters = div('filters'), stage = div('stage'), acts = div('acts'), moves = div('moves'), grid = div('grid'), pager = div('pager')
  const status = h('p', {role: 'status', 'aria-live': 'polite'}), tell = h('p', {class: 'er-hidden', 'aria-live': 'polite'})
  const again = h('button', {type: 'button', hidden: true, onclick: () => ask({do: 'show'}, {}, true)}, 'Ask again')
  const root = h('div', {class: 'er', tabindex: 0, role: 'region', 'aria-label': `Review of photos. ${KEYS}`,
    'data-lm-suppress-shortcuts': 'true', onkeydown: onKey, onpointerdown: () => { mouse = true }},
    div('head', div('progress', seen, meter), filters), stage, acts, div('say', div('status', status, again), moves), grid, pager, tell)

  // -- Ask and be answered: one question at a time, and nothing is shown as done before the answer
  function ask(msg, view = {}, anew = false) {
    if (waiting && !anew) {                                   // decisions wait for the answer, going on is done after it
      if (msg.do === 'show') next = {...next, ...view}
      return
    }
    next = null
    waiting = `${me}-${++asked}`
    root.ariaBusy = 'true'
    timers.forEach(clearTimeout)
    timers = [setTimeout(() => say(msg.do === 'show' ? 'Loading…' : 'Saving…'), 300), setTimeout(silence, 5000)]
    const base = s && {...s.view, ...('page' in view ? {} : {focus: s.focus?.name})}
    try { model.send({id: waiting, ...msg, view: {...base, ...view}}) } catch { silence() }
  }
  function silence() {
    say('No answer: Python is busy or has ended, and what you decided last may not be saved. ' +
      'Load the page again, or run the cell again.', true)
    again.hidden = false
  }
  function onAnswer(msg) {
    if (msg?.id !== waiting) return
    timers.forEach(clearTimeout)
    waiting = null
    root.ariaBusy = 'false'
    again.hidden = true
    const before = s
    if (msg.view) s = msg
    if (!s) return say(msg.wrong, true)
    if (msg.said || s.page !== before?.page || JSON.stringify(s.view) !== JSON.stringify(before.view)) picked.clear()
    draw()
    say([msg.said, msg.wrong].filter(Boolean).join('. '), !!msg.wrong)
    tell.textContent = s.focus ? `${s.focus.name}, ${labelled(s.focus)}, ${s.focus.why}` : nothing()
    if (next) ask({do: 'show'}, next)
  }
  function nothing() {
    if (s.total === 0) return 'The queue is empty: nothing to review.'
    return s.view.only && s.seen ? 'All of these are decided.' : 'No photo passes these filters.'
  }
  function say(text, wrong = false) {
    status.textContent = text
    status.classList.toggle('er-wrong', wrong)
  }

  // -- What you can do
  const targets = () => picked.size ? [...picked] : s.focus && !s.focus.gone ? [s.focus.name] : []
  const decide = to => { if (targets().length) ask({do: 'decide', names: targets(), to}) }
  const keep = () => { if (targets().length) ask({do: 'keep', names: targets()}) }
  const undo = () => ask({do: 'undo'})
  const step = by => ask({do: 'show'}, {step: by})
  const turn = by => { if (s.page + by >= 0 && s.page + by < s.pages) ask({do: 'show'}, {page: s.page + by}) }
  const none = () => { picked.clear(); draw() }
  function toggle(name) {
    picked.has(name) ? picked.delete(name) : picked.add(name)
    anchor = name
    draw()
  }
  function all() {
    const names = s.cells.filter(c => !c.gone).map(c => c.name), every = names.every(o => picked.has(o))
    picked.clear()
    if (!every) names.forEach(o => picked.add(o))
    draw()
  }
  function choose(ev, name) { // A click on a small photo: alone, with ctrl or with shift
    const names = s.cells.map(c => c.name), from = names.includes(anchor) ? anchor : s.focus?.name
    if (ev.ctrlKey || ev.metaKey) {
      if (!picked.size && from && from !== name) picked.add(from)
      toggle(name)
    } else if (ev.shiftKey) {
      const [a, b] = [names.indexOf(from), names.indexOf(name)].sort((x, y) => x - y)
      names.slice(Math.max(a, 0), b + 1).forEach(o => picked.add(o))
      draw()
    } else {
      picked.clear()
      anchor = name
      ask({do: 'show'}, {focus: name})
    }
  }
  function onKey(ev) {
    mouse = false
    if (ev.ctrlKey || ev.metaKey || ev.altKey || ev.isComposing) return
    ev.stopPropagation()                                      // Jupyter has shortcuts of its own: x cuts a cell
    const own = ev.target.matches('button, input') && [' ', 'Enter'].includes(ev.key)
    if (!s || own || ev.target.matches('select, textarea')) return
    const keys = {' ': keep, x: () => decide(null), z: undo, a: all, escape: none,
      n: () => turn(1), p: () => turn(-1), arrowleft: () => step(-1), arrowright: () => step(1)}
    s.labels.slice(0, 9).forEach((o, i) => { keys[i + 1] = () => decide(o) })
    const does = keys[ev.key.toLowerCase()]
    if (!does) return
    ev.preventDefault()
    if (!ev.repeat || ev.key.startsWith('Arrow')) does()     // a key held down decides once
  }
  const back = () => { if (mouse) root.focus({preventScroll: true}) } // after a click, keys go to the widget again

  // -- Draw what Python said
  function button(text, key, does, props = {}) {
    const click = () => { does(); back() }
    return h('button', {type: 'button', 'data-key': text, onclick: click, ...props},
      h('span', {}, text), key && h('kbd', {'aria-hidden': 'true'}, key))
  }
  function filter(name, title, options) {
    const set = ev => { ask({do: 'show'}, {[name]: ev.target.value, page: 0}); back() }
    return h('label', {}, h('span', {}, title), h('select', {'data-key': name, onchange: set},
      options.map(([value, text]) => h('option', {value, selected: value === s.view[name]}, text))))
  }
  function drawFilters() {
    const some = (name, title) => {                           // only where there is something to choose
      const chosen = s.view[name], options = [...s.options[name]]
      if (chosen && !options.some(([o]) => o === chosen)) options.push([chosen, 0])
      return options.length > 1 || chosen ? [filter(name, title, [['', 'all'], ...options.map(([o, n]) => [o, `${called(o)} (${n})`])])] : []
    }
    const set = ev => { ask({do: 'show'}, {only: ev.target.checked, page: 0}); back() }
    filters.replaceChildren(...some('label', 'Label'), ...some('guess', 'Model says'), ...some('reason', 'Reason'), ...some('part', 'Part'),
      filter('order', 'Order', [['suspicious', 'most suspicious'], ['loss', 'top losses per label']]),
      h('label', {class: 'er-only'},
        h('input', {type: 'checkbox', 'data-key': 'only', checked: s.view.only, onchange: set}), 'only undecided'))
  }
  function drawActs() {
    const f = s.focus, one = !picked.size, off = one && (!f || f.gone)
    const label = (o, i) => button(o, i < 9 && `${i + 1}`, () => decide(o), {disabled: off, 'aria-label': `Label ${o}`,
      class: one && f?.label === o ? 'er-now' : one && f?.guess === o ? 'er-guess' : null})
    acts.replaceChildren(h('span', {class: 'er-many'}, one ? '' : `${picked.size} chosen`),
      button('Keep', 'space', keep, {class: 'er-main', disabled: off || (one && f.out)}), ...s.labels.map(label),
      button('Take out', 'x', () => decide(null), {disabled: off}))
    moves.replaceChildren(button('Undo', 'z', undo),
      button('Previous', '←', () => step(-1), {disabled: !f}), button('Next', '→', () => step(1), {disabled: !f}))
  }
  function drawCell(c) {
    const here = c.name === s.focus?.name, chosen = picked.has(c.name)
    const done = c.decided && (c.out ? '✕ out' : c.label === c.was ? '✓ kept' : `→ ${c.label}`)
    const kinds = ['er-cell', here && 'er-here', chosen && 'er-picked', done && 'er-done', c.gone && 'er-gone']
    return h('div', {class: kinds.filter(Boolean).join(' ')},
      h('button', {type: 'button', class: 'er-pic', 'data-key': c.name, 'aria-current': here ? 'true' : null, title: c.name,
        'aria-label': `${c.name}, ${labelled(c)}, ${c.why}${done ? ', decided' : ''}`,
        onclick: ev => { choose(ev, c.name); back() }}, picture(c, c.url, 'er-thumb')),
      !c.gone && h('input', {type: 'checkbox', 'data-key': `choose ${c.name}`, checked: chosen, 'aria-label': `Choose ${c.name}`,
        onchange: () => { toggle(c.name); back() }}),
      done && h('span', {class: 'er-badge'}, done),
      h('span', {class: 'er-cap'}, h('b', {}, labelled(c)), ' ', h('span', {class: 'er-soft'}, c.why)))
  }
  function draw() {
    const held = root.contains(document.activeElement), key = held && document.activeElement.dataset.key
    seen.textContent = `${s.seen} of ${s.total} seen`
    meter.max = Math.max(s.total, 1)
    meter.value = s.seen
    const f = s.focus
    stage.replaceChildren(...(f ? [picture(f, f.big, 'er-big'), div('side', ...facts(f))] : [h('p', {class: 'er-none'}, nothing())]))
    drawFilters()
    drawActs()
    grid.replaceChildren(...s.cells.map(drawCell))
    const range = s.n ? `${s.first} to ${s.first + s.cells.length - 1} of ${s.n}` : 'none'
    pager.replaceChildren(button('Page back', 'p', () => turn(-1), {disabled: s.page === 0}), h('span', {}, range),
      button('Page on', 'n', () => turn(1), {disabled: s.page >= s.pages - 1}), h('span', {class: 'er-gap'}),
      button('All of this page', 'a', all, {disabled: !s.cells.length}))
    const same = key && [...root.querySelectorAll('[data-key]')].find(o => o.dataset.key === key && !o.disabled)
    if (held) (same || root).focus({preventScroll: true})
  }

  model.on('msg:custom', onAnswer)
  el.append(h('div', {class: 'er-box'}, root))
  ask({do: 'show'})
  const shown = new IntersectionObserver(() => {              // a page of its own: take the keys once it can be seen
    if (!root.checkVisibility()) return
    shown.disconnect()
    if (document.activeElement === document.body) root.focus({preventScroll: true})
  })
  if (voila) shown.observe(root)
  return () => { timers.forEach(clearTimeout); shown.disconnect(); model.off('msg:custom', onAnswer) }
}

export default {render}
