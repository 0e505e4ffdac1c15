// The area that takes photos: dropped, pasted, chosen, or taken with the camera. Each is made small here, before it is
// sent, and the next one is sent when Python has answered the one before.

const SIDE = 1024           // px that a photo is sent with at most
const MOST = 200            // photos at once
const LIMIT = 20 * 2 ** 20  // bytes of one
const PATIENCE = 20         // seconds
const PIXELS = 128e6        // of a photo that Python opens, too
const WEBP = 64e6           // the same of a WebP
const LONGEST = 65535       // px of its longer side
const LOST = 'No answer: the connection is lost, or the server is busy or has stopped. Please load the page again.'
const NO_FILE = 'Nothing here that could be a photo: save it as a file first, and choose that.'
const CAMERA = {
  NotAllowedError: 'The camera was refused. Allow it for this page in your browser, or choose a photo.',
  NotFoundError: 'There is no camera here. Please choose a photo.',
  NotReadableError: 'The camera is used by another program. Close that, or choose a photo.'}

const megabytes = n => `${(n / 2 ** 20).toFixed(1).replace('.0', '')} MB`

// -- A photo made small

// Width and height in the header, before a pixel is decoded; 0 where the browser does not know the format
function size(file) {
  const url = URL.createObjectURL(file)
  const img = new Image()
  const known = new Promise(done => {
    img.onload = () => done([img.naturalWidth, img.naturalHeight])
    img.onerror = () => done([0, 0])
    img.src = url
  })
  return known.finally(() => URL.revokeObjectURL(url))
}

async function tooLarge(file) {
  const [w, h] = await size(file)
  return w * h > (file.type === 'image/webp' ? WEBP : PIXELS) || Math.max(w, h) > LONGEST
}

function painted(w, h, paint) { // A canvas, white below what is painted
  const canvas = Object.assign(document.createElement('canvas'), {width: w, height: h})
  const context = canvas.getContext('2d')
  Object.assign(context, {fillStyle: '#fff', imageSmoothingQuality: 'high'})
  context.fillRect(0, 0, w, h)
  paint(context)
  return canvas
}

// Some browsers guard privacy by noise in all that is read from a canvas: no photo would survive it
function readable() {
  const data = painted(8, 8, () => {}).getContext('2d').getImageData(0, 0, 8, 8).data
  return data.every(o => o > 250)
}

async function jpeg(source, width, height) { // Bytes of `source` with no side over SIDE: pixels, and nothing else
  const scale = Math.min(1, SIDE / Math.max(width, height))
  const [w, h] = [width, height].map(o => Math.max(1, Math.round(o * scale)))
  const canvas = painted(w, h, context => context.drawImage(source, 0, 0, w, h))
  const blob = await new Promise(done => canvas.toBlob(done, 'image/jpeg', .9))
  canvas.width = canvas.height = 0 // gives its memory back at once
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
  const name = file.name || 'photo'
  const data = await shrink(file)
  if (data) return {name, data}
  if (file.size > LIMIT) {
    const limit = `at most ${megabytes(LIMIT)} can be sent`
    return {name, problem: `${name}: ${megabytes(file.size)}, and your browser cannot make it smaller; ${limit}`}
  }
  try { return {name, data: await file.arrayBuffer()} }
  catch { return {name, problem: `${name}: cannot be read; a folder, or a file that is no longer there`} }
}

// -- The area

function render({model, el}) {
  const client = Math.random().toString(36).slice(2)
  const tasks = []     // what is still to be sent
  let sent = 0         // messages
  let waiting = null   // the message that has no answer yet: its id, and what to call with the answer
  let working = false

  const input = h('input', {type: 'file', accept: 'image/*', multiple: true, hidden: true, onchange: () => {
    takeFiles(input.files)
    input.value = '' // so that the same file can be chosen again
  }})
  const area = h('button', {type: 'button', class: 'ed-area', onclick: () => input.click()},
    icon(),
    h('b', {}, h('span', {class: 'ed-fine'}, 'Drop photos here'), h('span', {class: 'ed-touch'}, 'Choose photos')),
    h('span', {class: 'ed-fine'}, 'paste one, or ', h('u', {}, 'choose files')))
  const camera = navigator.mediaDevices?.getUserMedia &&
    h('button', {type: 'button', class: 'ed-button', onclick: () => takePhoto()}, 'Take a photo')
  const spinner = h('i', {class: 'ed-spin', 'aria-hidden': 'true'})
  const progress = h('span', {class: 'ed-many'})
  const status = h('span', {'aria-live': 'polite'})
  const row = h('div', {class: 'ed-row'}, camera, h('p', {class: 'ed-say'}, spinner, progress, status))
  const title = model.get('examples_title')
  const examples = model.get('examples').map(({alt, url}, k) => {
    const onclick = () => work(() => ask({do: 'example', k}))
    return h('button', {type: 'button', title: alt, onclick}, h('img', {src: url, alt}))
  })
  const tries = h('div', {class: 'ed-tries', role: 'group', 'aria-label': title}, h('p', {}, title), examples)
  const onkeydown = ev => { // Jupyter has shortcuts of its own
    if (!ev.ctrlKey && !ev.metaKey && !ev.altKey) ev.stopPropagation()
  }
  const root = h('div', {class: 'ed', role: 'group', 'aria-label': 'Photos', 'data-lm-suppress-shortcuts': 'true', onkeydown},
    area, input, row, examples.length > 0 && tries)

  function say(text) { status.textContent = text }

  // -- Send, one after the other
  function ask(msg, data) { // What Python answers; an error where it does not
    return new Promise((answered, lost) => {
      sent += 1
      const id = `${client}-${sent}`
      const patience = 1000 * (PATIENCE + (data?.byteLength ?? 0) / 1e5) // ms; longer for a large photo on a slow line
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
  // Tasks wait for each other; where one is not answered, those behind it would not be either
  async function work(task) {
    tasks.push(task)
    if (working) return
    working = true
    root.classList.add('ed-busy')
    say('')
    try {
      while (tasks.length) await tasks.shift()()
    } catch {
      tasks.length = 0
      say(LOST)
    }
    working = false
    root.classList.remove('ed-busy')
    progress.textContent = ''
  }
  function takeFiles(files) {
    const all = [...files]
    const some = all.slice(0, MOST)
    const n = some.length
    if (!n) return
    work(async () => {
      if (all.length > MOST) say(leftOut(all.slice(MOST)))
      for (const [i, file] of some.entries()) {
        if (n > 1) progress.textContent = `${i + 1} of ${n}`
        const {data, ...about} = await load(file)
        await ask({do: 'photo', i, n, problem: '', ...about}, data)
      }
      progress.textContent = ''
    })
  }
  function leftOut(files) {
    const names = files.slice(0, 5).map(o => o.name).join(', ')
    const more = files.length - 5
    return `At most ${MOST} photos at once. Left out: ${names}${more > 0 ? ` and ${more} more` : ''}.`
  }

  // -- Drop and paste, anywhere on the page
  const inNotebook = () => el.closest('div.jp-Notebook')
  function isElsewhere(ev) { // a notebook has other uses for files, and so has a second area
    if (!root.isConnected || ev.defaultPrevented) return true
    return (inNotebook() || ev.target.closest?.('.ed')) && !root.contains(ev.target)
  }
  const highlight = on => root.classList.toggle('ed-over', on)
  const onDocument = {
    dragover: ev => {
      const isOurs = !isElsewhere(ev) && !!ev.dataTransfer?.types.includes('Files')
      highlight(isOurs)
      if (!isOurs) return
      ev.preventDefault()
      ev.dataTransfer.dropEffect = 'copy'
    },
    dragleave: ev => { if (!ev.relatedTarget) highlight(false) },
    drop: ev => {
      highlight(false)
      if (isElsewhere(ev)) return
      const files = [...ev.dataTransfer?.files ?? []]
      if (!files.length && !root.contains(ev.target)) return
      ev.preventDefault()
      if (files.length) takeFiles(files)
      else say(NO_FILE)
    },
    paste: ev => {
      const typing = ev.target.closest?.('input, textarea, select, [contenteditable=true], .cm-editor')
      if (isElsewhere(ev) || typing) return
      const files = [...ev.clipboardData?.files ?? []]
      if (!files.length) return root.contains(ev.target) && say(NO_FILE)
      ev.preventDefault()
      takeFiles(files)
    }}
  for (const [name, listener] of Object.entries(onDocument)) document.addEventListener(name, listener)

  // -- The camera
  let dialog = null
  let asking = false
  async function takePhoto() {
    if (asking) return
    asking = true
    say('')
    try {
      const stream = await navigator.mediaDevices.getUserMedia({video: {facingMode: 'user', width: {ideal: 1280}}})
      dialog = viewfinder(stream, file => takeFiles([file]))
      root.append(dialog)
      dialog.showModal()
    } catch (e) { say(CAMERA[e.name] ?? 'The camera cannot be used here. Please choose a photo.') }
    asking = false
  }

  model.on('msg:custom', onAnswer)
  el.append(root)
  return () => {
    dialog?.close()
    tasks.length = 0
    for (const [name, listener] of Object.entries(onDocument)) document.removeEventListener(name, listener)
    model.off('msg:custom', onAnswer)
  }
}

function icon() { // A picture, with a hill and a sun
  const box = h('i', {class: 'ed-icon', 'aria-hidden': 'true'})
  const line = 'fill="none" stroke="currentColor" stroke-width="1.5" stroke-linejoin="round"'
  box.innerHTML = `<svg viewBox="0 0 24 24" width="40" height="40" ${line}>` +
    '<rect x="3" y="4" width="18" height="16" rx="2.5"/><circle cx="8.5" cy="9.5" r="1.7"/>' +
    '<path d="M3.5 18l5.2-5 3.4 3.2 3.6-4 4.9 5.3"/></svg>'
  return box
}

// -- What the camera sees, until a photo is taken

function viewfinder(stream, snapped) {
  const onloadeddata = () => {
    snap.disabled = false
    snap.focus()
  }
  const video = h('video', {autoplay: true, playsinline: true, 'aria-label': 'What the camera sees', onloadeddata})
  const onclick = async () => {
    const data = await jpeg(video, video.videoWidth, video.videoHeight)
    dialog.close()
    snapped(new File([data], 'camera.jpg', {type: 'image/jpeg'}))
  }
  const snap = h('button', {type: 'button', class: 'ed-button ed-main', disabled: true, onclick}, 'Take the photo')
  const cancel = h('button', {type: 'button', class: 'ed-button', onclick: () => dialog.close()}, 'Cancel')
  const onclose = () => {
    stream.getTracks().forEach(o => o.stop())
    dialog.remove()
  }
  const dialog = h('dialog', {class: 'ed-dialog', 'aria-label': 'Take a photo', onclose},
    video, h('div', {class: 'ed-row'}, snap, cancel))
  video.muted = true
  video.srcObject = stream
  return dialog
}

export default {render}
