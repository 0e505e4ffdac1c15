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
  if (!url) return grey(cell, kind)
  return h('img', {class: kind, src: url, alt: `${cell.name}, ${labelled(cell)}`, draggable: 'false'})
}

function neighbours({label, photos}) { // The photos under a label that are most like the one in focus
  const image = ({name, url}) => url
    ? h('img', {src: url, alt: `${name}, ${label}`, title: name}) : h('span', {class: 'er-grey'}, '?')
  return h('figure', {class: 'er-near'}, h('figcaption', {}, 'Nearest under ', h('b', {}, label)), h('div', {}, photos.map(image)))
}

function facts(f) { // What is known of the photo in focus
  const line = (name, ...what) => h('div', {}, h('span', {class: 'er-soft'}, name), h('span', {}, ...what))
  const changed = f.was !== f.label && !f.gone
  const reason = f.reason !== 'other' && !f.why.includes(f.reason) && h('span', {class: 'er-soft'}, ` (${f.reason})`)
  const disagrees = f.confidence !== null && f.guess !== f.was
  return [
    h('div', {class: 'er-title'}, h('p', {class: 'er-soft'}, [f.name, f.part].filter(Boolean).join(' · ')),
      h('p', {class: 'er-label'}, !f.gone && !f.out && h('span', {class: 'er-soft'}, 'labelled'), ' ', labelled(f),
        f.decided && h('span', {class: 'er-badge'}, changed ? `was ${called(f.was)}` : 'kept'))),
    h('div', {class: 'er-facts'},
      line('Why', f.why, reason),
      f.guess && line('Model says', h('b', {}, f.guess), ' ', percent(f.sure), f.sure !== null && bar(f.sure)),
      disagrees && line(`and ${called(f.was)}`, percent(f.confidence), bar(f.confidence)),
      f.loss !== null && line('Loss', f.loss.toFixed(2))),
    f.near.map(neighbours)].flat()
}

function render({model, el}) {
  const client = Math.random().toString(36).slice(2)
  const picked = new Set() // names chosen on this page
  let state = null         // what Python said last
  let sent = 0             // messages
  let waiting = null       // id of the message that has no answer yet
  let next = null          // how the page will be set once it has
  let timers = []
  let anchor = null        // where a choice with shift starts
  let mouse = false        // was the last thing a click?

  // -- The elements that stay
  const div = (name, ...kids) => h('div', {class: `er-${name}`}, ...kids)
  const seen = h('span')
  const meter = h('progress', {max: 1, value: 0, 'aria-label': 'Photos seen'})
  const filters = div('filters')
  const stage = div('stage')
  const acts = div('acts')
  const moves = div('moves')
  const grid = div('grid')
  const pager = div('pager')
  const status = h('p', {role: 'status', 'aria-live': 'polite'})
  const announcer = h('p', {class: 'er-hidden', 'aria-live': 'polite'}) // for a screen reader: the photo in focus
  const askAgain = h('button', {type: 'button', hidden: true, onclick: () => ask({do: 'show'}, {}, true)}, 'Ask again')
  const root = h('div', {class: 'er', tabindex: 0, role: 'region', 'aria-label': `Review of photos. ${KEYS}`,
    'data-lm-suppress-shortcuts': 'true', onkeydown: onKey, onpointerdown: () => { mouse = true }},
    div('head', div('progress', seen, meter), filters), stage, acts,
    div('say', div('status', status, askAgain), moves), grid, pager, announcer)

  // -- Ask and be answered: one question at a time, and nothing is shown as done before the answer
  function ask(msg, view = {}, anew = false) {
    if (waiting && !anew) { // a decision has to wait for the answer; stepping on is done after it
      if (msg.do === 'show') next = {...next, ...view}
      return
    }
    next = null
    sent += 1
    waiting = `${client}-${sent}`
    root.ariaBusy = 'true'
    timers.forEach(clearTimeout)
    timers = [setTimeout(() => say(msg.do === 'show' ? 'Loading…' : 'Saving…'), 300), setTimeout(silence, 5000)]
    const base = state && {...state.view, ...('page' in view ? {} : {focus: state.focus?.name})}
    try { model.send({id: waiting, ...msg, view: {...base, ...view}}) } catch { silence() }
  }
  function silence() {
    say('No answer: Python is busy or has ended, and what you decided last may not be saved. ' +
      'Load the page again, or run the cell again.', true)
    askAgain.hidden = false
  }
  function onAnswer(msg) {
    if (msg?.id !== waiting) return
    timers.forEach(clearTimeout)
    waiting = null
    root.ariaBusy = 'false'
    askAgain.hidden = true
    const before = state
    if (msg.view) state = msg
    if (!state) return say(msg.wrong, true)
    const isAnotherPage = state.page !== before?.page || JSON.stringify(state.view) !== JSON.stringify(before.view)
    if (msg.message || isAnotherPage) picked.clear()
    draw()
    say([msg.message, msg.wrong].filter(Boolean).join('. '), !!msg.wrong)
    const f = state.focus
    announcer.textContent = f ? `${f.name}, ${labelled(f)}, ${f.why}` : nothing()
    if (next) ask({do: 'show'}, next)
  }
  function nothing() {
    if (state.total === 0) return 'The queue is empty: nothing to review.'
    return state.view.only && state.seen ? 'All of these are decided.' : 'No photo passes these filters.'
  }
  function say(text, wrong = false) {
    status.textContent = text
    status.classList.toggle('er-wrong', wrong)
  }

  // -- What you can do
  const targets = () => picked.size ? [...picked] : state.focus && !state.focus.gone ? [state.focus.name] : []
  const decide = to => { if (targets().length) ask({do: 'decide', names: targets(), to}) }
  const keep = () => { if (targets().length) ask({do: 'keep', names: targets()}) }
  const undo = () => ask({do: 'undo'})
  const step = by => ask({do: 'show'}, {step: by})
  const turn = by => {
    const page = state.page + by
    if (page >= 0 && page < state.pages) ask({do: 'show'}, {page})
  }
  const chooseNone = () => { picked.clear(); draw() }
  function toggle(name) {
    picked.has(name) ? picked.delete(name) : picked.add(name)
    anchor = name
    draw()
  }
  function chooseAll() {
    const names = state.cells.filter(c => !c.gone).map(c => c.name)
    const allPicked = names.every(o => picked.has(o))
    picked.clear()
    if (!allPicked) names.forEach(o => picked.add(o))
    draw()
  }
  function choose(ev, name) { // A click on a small photo: alone, with ctrl or with shift
    const names = state.cells.map(c => c.name)
    const from = names.includes(anchor) ? anchor : state.focus?.name
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
    ev.stopPropagation() // Jupyter has shortcuts of its own: x cuts a cell
    const pressesIt = ev.target.matches('button, input') && [' ', 'Enter'].includes(ev.key)
    if (!state || pressesIt || ev.target.matches('select, textarea')) return
    const keys = {' ': keep, x: () => decide(null), z: undo, a: chooseAll, escape: chooseNone,
      n: () => turn(1), p: () => turn(-1), arrowleft: () => step(-1), arrowright: () => step(1)}
    state.labels.slice(0, 9).forEach((o, i) => { keys[i + 1] = () => decide(o) })
    const action = keys[ev.key.toLowerCase()]
    if (!action) return
    ev.preventDefault()
    if (!ev.repeat || ev.key.startsWith('Arrow')) action() // a key held down decides once
  }
  const focusRoot = () => { if (mouse) root.focus({preventScroll: true}) } // after a click, keys go to the widget again

  // -- Draw what Python said
  function button(text, key, action, props = {}) {
    const click = () => { action(); focusRoot() }
    return h('button', {type: 'button', 'data-key': text, onclick: click, ...props},
      h('span', {}, text), key && h('kbd', {'aria-hidden': 'true'}, key))
  }
  function filter(name, title, options) {
    const set = ev => { ask({do: 'show'}, {[name]: ev.target.value, page: 0}); focusRoot() }
    return h('label', {}, h('span', {}, title), h('select', {'data-key': name, onchange: set},
      options.map(([value, text]) => h('option', {value, selected: value === state.view[name]}, text))))
  }
  function drawFilters() {
    const some = (name, title) => { // only where there is something to choose
      const chosen = state.view[name], options = [...state.options[name]]
      if (chosen && !options.some(([o]) => o === chosen)) options.push([chosen, 0])
      if (options.length < 2 && !chosen) return []
      return [filter(name, title, [['', 'all'], ...options.map(([o, n]) => [o, `${called(o)} (${n})`])])]
    }
    const set = ev => { ask({do: 'show'}, {only: ev.target.checked, page: 0}); focusRoot() }
    filters.replaceChildren(
      ...some('label', 'Label'), ...some('guess', 'Model says'), ...some('reason', 'Reason'), ...some('part', 'Part'),
      filter('order', 'Order', [['suspicious', 'most suspicious'], ['loss', 'top losses per label']]),
      h('label', {class: 'er-only'},
        h('input', {type: 'checkbox', 'data-key': 'only', checked: state.view.only, onchange: set}), 'only undecided'))
  }
  function drawActs() {
    const f = state.focus
    const one = !picked.size
    const off = one && (!f || f.gone)
    const label = (o, i) => button(o, i < 9 && `${i + 1}`, () => decide(o), {disabled: off, 'aria-label': `Label ${o}`,
      class: one && f?.label === o ? 'er-now' : one && f?.guess === o ? 'er-guess' : null})
    acts.replaceChildren(h('span', {class: 'er-many'}, one ? '' : `${picked.size} chosen`),
      button('Keep', 'space', keep, {class: 'er-main', disabled: off || (one && f.out)}), ...state.labels.map(label),
      button('Take out', 'x', () => decide(null), {disabled: off}))
    moves.replaceChildren(button('Undo', 'z', undo),
      button('Previous', '←', () => step(-1), {disabled: !f}), button('Next', '→', () => step(1), {disabled: !f}))
  }
  function drawCell(c) {
    const inFocus = c.name === state.focus?.name
    const chosen = picked.has(c.name)
    const done = c.decided && (c.out ? '✕ out' : c.label === c.was ? '✓ kept' : `→ ${c.label}`)
    const kinds = ['er-cell', inFocus && 'er-here', chosen && 'er-picked', done && 'er-done', c.gone && 'er-gone']
    return h('div', {class: kinds.filter(Boolean).join(' ')},
      h('button', {type: 'button', class: 'er-pic', 'data-key': c.name, 'aria-current': inFocus ? 'true' : null, title: c.name,
        'aria-label': `${c.name}, ${labelled(c)}, ${c.why}${done ? ', decided' : ''}`,
        onclick: ev => { choose(ev, c.name); focusRoot() }}, picture(c, c.url, 'er-thumb')),
      !c.gone && h('input', {type: 'checkbox', 'data-key': `choose ${c.name}`, checked: chosen, 'aria-label': `Choose ${c.name}`,
        onchange: () => { toggle(c.name); focusRoot() }}),
      done && h('span', {class: 'er-badge'}, done),
      h('span', {class: 'er-cap'}, h('b', {}, labelled(c)), ' ', h('span', {class: 'er-soft'}, c.why)))
  }
  function draw() {
    const hadFocus = root.contains(document.activeElement)
    const key = hadFocus && document.activeElement.dataset.key
    seen.textContent = `${state.seen} of ${state.total} seen`
    meter.max = Math.max(state.total, 1)
    meter.value = state.seen
    const f = state.focus
    if (f) stage.replaceChildren(picture(f, f.big, 'er-big'), div('side', ...facts(f)))
    else stage.replaceChildren(h('p', {class: 'er-none'}, nothing()))
    drawFilters()
    drawActs()
    grid.replaceChildren(...state.cells.map(drawCell))
    const range = state.n ? `${state.first} to ${state.first + state.cells.length - 1} of ${state.n}` : 'none'
    pager.replaceChildren(button('Page back', 'p', () => turn(-1), {disabled: state.page === 0}), h('span', {}, range),
      button('Page on', 'n', () => turn(1), {disabled: state.page >= state.pages - 1}), h('span', {class: 'er-gap'}),
      button('All of this page', 'a', chooseAll, {disabled: !state.cells.length}))
    const same = key && [...root.querySelectorAll('[data-key]')].find(o => o.dataset.key === key && !o.disabled)
    if (hadFocus) (same || root).focus({preventScroll: true})
  }

  model.on('msg:custom', onAnswer)
  el.append(h('div', {class: 'er-box'}, root))
  ask({do: 'show'})
  const shown = new IntersectionObserver(() => { // a page of its own: take the keys once it can be seen
    if (!root.checkVisibility()) return
    shown.disconnect()
    if (document.activeElement === document.body) root.focus({preventScroll: true})
  })
  if (document.body.dataset.voila === 'voila') shown.observe(root)
  return () => { timers.forEach(clearTimeout); shown.disconnect(); model.off('msg:custom', onAnswer) }
}

export default {render}
