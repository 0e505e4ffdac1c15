// The area that takes photos: dropped, pasted, chosen, or taken with the camera. Each is made small here, before it is
// sent, and the next one is sent when Python has answered the one before.

const SIDE = 1024, MOST = 200, LIMIT = 20 * 2 ** 20, PATIENCE = 20 // px, photos, bytes, seconds
const PIXELS = 128e6, WEBP = 64e6, LONGEST = 65535                   // pixels, pixels of a WebP, px: what Python opens, too
const LOST = 'No answer: the connection is lost, or the server is busy or has stopped. Please load the page again.'
const NO_FILE = 'Nothing here that could be a photo: save it as a file first, and choose that.'
const CAMERA = {
  NotAllowedError: 'The camera was refused. Allow it for this page in your browser, or choose a photo.',
  NotFoundError: 'There is no camera here. Please choose a photo.',
  NotReadableError: 'The camera is used by another program. Close that, or choose a photo.'}

const megabytes = n => `${(n / 2 ** 20).toFixed(1).replace('.0', '')} MB`

// -- A photo made small

function size(file) { // Width and height that its header promises, before a pixel is decoded; 0 where the browser does not know the format
  const url = URL.createObjectURL(file), img = new Image()
  return new Promise(done => Object.assign(img, {onload: () => done([img.naturalWidth, img.naturalHeight]), onerror: () => done([0, 0]), src: url}))
    .finally(() => URL.revokeObjectURL(url))
}

async function tooLarge(file) {
  const [w, h] = await size(file)
  return w * h > (file.type === 'image/webp' ? WEBP : PIXELS) || Math.max(w, h) > LONGEST
}

function painted(w, h, paint) { // A canvas, white below what is painted
  const canvas = Object.assign(document.createElement('canvas'), {width: w, height: h}), g = canvas.getContext('2d')
  Object.assign(g, {fillStyle: '#fff', imageSmoothingQuality: 'high'})
  g.fillRect(0, 0, w, h)
  paint(g)
  return canvas
}

function readable() { // Some browsers guard privacy by noise in all that is read from a canvas: no photo would survive it
  const data = painted(8, 8, () => {}).getContext('2d').getImageData(0, 0, 8, 8).data
  return data.every(o => o > 250)
}

async function jpeg(source, width, height) { // Bytes of `source` with no side over SIDE: pixels, and nothing else
  const by = Math.min(1, SIDE / Math.max(width, height)), [w, h] = [width, height].map(o => Math.max(1, Math.round(o * by)))
  const canvas = painted(w, h, g => g.drawImage(source, 0, 0, w, h))
  const blob = await new Promise(done => canvas.toBlob(done, 'image/jpeg', .9))
  canvas.width = canvas.height = 0                                 // gives its memory back at once
  return blob.arrayBuffer()
}

async function shrink(file) { // Bytes of a small JPEG, upright; null where this browser cannot make one
  let bitmap = null
  try {
    if (!readable() || await tooLarge(file)) return null
    bitmap = await createImageBitmap(file, {imageOrientation: 'from-image'})
    return await jpeg(bitmap, bitmap.width, bitmap.height)
  } catch { return null } finally { bitmap?.close() }
}

async function load(file) { // What to send of it: `data`, or `problem`, a sentence
  const name = file.name || 'photo', data = await shrink(file)
  if (data) return {name, data}
  if (file.size > LIMIT) return {name, problem: `${name}: ${megabytes(file.size)}, and your browser cannot make it smaller; ` +
    `at most ${megabytes(LIMIT)} can be sent`}
  try { return {name, data: await file.arrayBuffer()} }
  catch { return {name, problem: `${name}: cannot be read; a folder, or a file that is no longer there`} }
}

// -- The area

function render({model, el}) {
  const me = Math.random().toString(36).slice(2), todo = []
  let asked = 0, waiting = null, working = false

  const input = h('input', {type: 'file', accept: 'image/*', multiple: true, hidden: true, onchange: () => {
    take(input.files)
    input.value = ''                                               // so that the same file can be chosen again
  }})
  const area = h('button', {type: 'button', class: 'ed-area', onclick: () => input.click()},
    icon(), h('b', {}, h('span', {class: 'ed-fine'}, 'Drop photos here'), h('span', {class: 'ed-touch'}, 'Choose photos')),
    h('span', {class: 'ed-fine'}, 'paste one, or ', h('u', {}, 'choose files')))
  const camera = navigator.mediaDevices?.getUserMedia && h('button', {type: 'button', class: 'ed-button', onclick: () => takePhoto()}, 'Take a photo')
  const many = h('span', {class: 'ed-many'}), told = h('span', {'aria-live': 'polite'})
  const row = h('div', {class: 'ed-row'}, camera, h('p', {class: 'ed-say'}, h('i', {class: 'ed-spin', 'aria-hidden': 'true'}), many, told))
  const title = model.get('examples_title'), examples = model.get('examples').map(({alt, url}, k) =>
    h('button', {type: 'button', title: alt, onclick: () => work(() => ask({do: 'example', k}))}, h('img', {src: url, alt})))
  const tries = examples.length ? h('div', {class: 'ed-tries', role: 'group', 'aria-label': title}, h('p', {}, title), examples) : null
  const root = h('div', {class: 'ed', role: 'group', 'aria-label': 'Photos', 'data-lm-suppress-shortcuts': 'true',
    onkeydown: ev => { if (!ev.ctrlKey && !ev.metaKey && !ev.altKey) ev.stopPropagation() }}, // Jupyter has shortcuts of its own
    area, input, row, tries)

  function say(text) { told.textContent = text }

  // -- Send, one after the other
  function ask(msg, data) { // What Python answers; an error where it does not
    return new Promise((answered, lost) => {
      const id = `${me}-${++asked}`, patience = 1000 * (PATIENCE + (data?.byteLength ?? 0) / 1e5) // a slow line has its time too
      const late = setTimeout(lost, patience)
      waiting = {id, answered: a => { clearTimeout(late); answered(a) }}
      model.send({id, ...msg}, undefined, data ? [data] : [])
    })
  }
  function onAnswer(msg) {
    if (!waiting || msg?.id !== waiting.id) return
    waiting.answered(msg)
    if (msg.wrong) say(msg.wrong)
  }
  async function work(task) { // Tasks wait for each other; where one is not answered, those behind it would not be either
    todo.push(task)
    if (working) return
    working = true
    root.classList.add('ed-busy')
    say('')
    try { while (todo.length) await todo.shift()() } catch {
      todo.length = 0
      say(LOST)
    }
    working = false
    root.classList.remove('ed-busy')
    many.textContent = ''
  }
  function take(files) {
    const all = [...files], some = all.slice(0, MOST), n = some.length
    if (!n) return
    work(async () => {
      if (all.length > MOST) say(left(all.slice(MOST)))
      for (const [i, file] of some.entries()) {
        if (n > 1) many.textContent = `${i + 1} of ${n}`
        const {data, ...about} = await load(file)
        await ask({do: 'photo', i, n, problem: '', ...about}, data)
      }
      many.textContent = ''
    })
  }
  function left(files) {
    const names = files.slice(0, 5).map(o => o.name).join(', '), more = files.length - 5
    return `At most ${MOST} photos at once. Left out: ${names}${more > 0 ? ` and ${more} more` : ''}.`
  }

  // -- Drop and paste, anywhere on the page
  const elsewhere = ev => !root.isConnected || ev.defaultPrevented ||
    ((el.closest('div.jp-Notebook') || ev.target.closest?.('.ed')) && !root.contains(ev.target)) // a notebook has other uses for it; so has a second area
  const over = on => root.classList.toggle('ed-over', on)
  const onDocument = {
    dragover: ev => {
      const ours = !elsewhere(ev) && !!ev.dataTransfer?.types.includes('Files')
      over(ours)
      if (!ours) return
      ev.preventDefault()
      ev.dataTransfer.dropEffect = 'copy'
    },
    dragleave: ev => { if (!ev.relatedTarget) over(false) },
    drop: ev => {
      over(false)
      if (elsewhere(ev)) return
      const files = [...ev.dataTransfer?.files ?? []]
      if (!files.length && !root.contains(ev.target)) return
      ev.preventDefault()
      files.length ? take(files) : say(NO_FILE)
    },
    paste: ev => {
      const files = [...ev.clipboardData?.files ?? []], typing = ev.target.closest?.('input, textarea, select, [contenteditable=true], .cm-editor')
      if (elsewhere(ev) || typing) return
      if (!files.length) return root.contains(ev.target) && say(NO_FILE)
      ev.preventDefault()
      take(files)
    }}
  for (const [name, does] of Object.entries(onDocument)) document.addEventListener(name, does)

  // -- The camera
  let dialog = null, asking = false
  async function takePhoto() {
    if (asking) return
    asking = true
    say('')
    try {
      const stream = await navigator.mediaDevices.getUserMedia({video: {facingMode: 'user', width: {ideal: 1280}}})
      dialog = viewfinder(stream, file => take([file]))
      root.append(dialog)
      dialog.showModal()
    } catch (e) { say(CAMERA[e.name] ?? 'The camera cannot be used here. Please choose a photo.') }
    asking = false
  }

  model.on('msg:custom', onAnswer)
  el.append(root)
  return () => {
    dialog?.close()
    todo.length = 0
    for (const [name, does] of Object.entries(onDocument)) document.removeEventListener(name, does)
    model.off('msg:custom', onAnswer)
  }
}

function icon() { // A picture, with a hill and a sun
  const box = h('i', {class: 'ed-icon', 'aria-hidden': 'true'})
  box.innerHTML = '<svg viewBox="0 0 24 24" width="40" height="40" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linejoin="round">' +
    '<rect x="3" y="4" width="18" height="16" rx="2.5"/><circle cx="8.5" cy="9.5" r="1.7"/><path d="M3.5 18l5.2-5 3.4 3.2 3.6-4 4.9 5.3"/></svg>'
  return box
}

// -- What the camera sees, until a photo is taken

function viewfinder(stream, snapped) {
  const video = h('video', {autoplay: true, playsinline: true, 'aria-label': 'What the camera sees', onloadeddata: () => {
    snap.disabled = false
    snap.focus()
  }})
  const snap = h('button', {type: 'button', class: 'ed-button ed-main', disabled: true, onclick: async () => {
    const data = await jpeg(video, video.videoWidth, video.videoHeight)
    dialog.close()
    snapped(new File([data], 'camera.jpg', {type: 'image/jpeg'}))
  }}, 'Take the photo')
  const dialog = h('dialog', {class: 'ed-dialog', 'aria-label': 'Take a photo', onclose: () => {
    stream.getTracks().forEach(o => o.stop())
    dialog.remove()
  }}, video, h('div', {class: 'ed-row'}, snap, h('button', {type: 'button', class: 'ed-button', onclick: () => dialog.close()}, 'Cancel')))
  video.muted = true
  video.srcObject = stream
  return dialog
}

export default {render}
