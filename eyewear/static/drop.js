// The area that takes photos: dropped, pasted, chosen or from the camera. Each is made small here before it is sent, and the next waits for Python's answer.

const SIDE = 1024, LIMIT = 20e6, MOST = 200, PATIENCE = 20000 // Pixels, bytes, photos, milliseconds
const MB = n => `${(n / 1e6).toFixed(1)} MB`

async function small(file) { // A JPEG of at most SIDE pixels, upright, on white, without metadata
  const bitmap = await createImageBitmap(file, {imageOrientation: 'from-image'})
  const k = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height)), side = x => Math.max(1, Math.round(x * k))
  const canvas = h('canvas', {width: side(bitmap.width), height: side(bitmap.height)}), ctx = canvas.getContext('2d')
  ctx.fillStyle = '#fff'
  ctx.fillRect(0, 0, canvas.width, canvas.height)
  ctx.imageSmoothingQuality = 'high'
  ctx.drawImage(bitmap, 0, 0, canvas.width, canvas.height)
  bitmap.close()
  return new Promise((done, no) => canvas.toBlob(b => b ? done(b) : no(), 'image/jpeg', .9))
}

async function bytes(file) { // What is sent of a file: as it is where the browser cannot read it, up to LIMIT
  const blob = await small(file).catch(() => file)
  if (blob.size > LIMIT) throw Error(`${MB(file.size)}, and this browser cannot make it smaller; at most ${MB(LIMIT)} are taken`)
  return blob.arrayBuffer().catch(() => { throw Error('cannot be read; choose it again') })
}

function camera(take, say) { // A window with the picture of the camera; `take` gets the photo
  let stream
  const video = h('video', {autoplay: true, playsinline: true, muted: true, 'aria-label': 'Picture of the camera'})
  const dialog = h('dialog', {class: 'ed-dialog', 'aria-label': 'Take a photo', onclose: () => { stream?.getTracks().forEach(t => t.stop()); dialog.remove() }},
    video, h('div', {},
      h('button', {type: 'button', class: 'ed-main', onclick: snap}, 'Take the photo'), h('button', {type: 'button', onclick: () => dialog.close()}, 'Cancel')))
  async function snap() {
    if (!video.videoWidth) return
    const canvas = h('canvas', {width: video.videoWidth, height: video.videoHeight})
    canvas.getContext('2d').drawImage(video, 0, 0)
    dialog.close()
    canvas.toBlob(b => take([new File([b], 'camera.jpg', {type: 'image/jpeg'})]), 'image/jpeg', .95)
  }
  navigator.mediaDevices.getUserMedia({video: {facingMode: 'user'}}).then(s => {
    video.srcObject = stream = s
    return dialog
  }).then(d => { say(''); d.isConnected || document.querySelector('.ed').append(d); d.showModal() })
    .catch(() => say('The camera cannot be used. Allow it for this page in the browser, or choose a photo.', true))
}

function render({model, el}) {
  const voila = document.body.dataset.voila === 'voila', where = voila ? document : null
  let last = Promise.resolve(), answered = null, count = 0, depth = 0
  const input = h('input', {type: 'file', multiple: true, accept: 'image/*', hidden: true, onchange: () => { take([...input.files]); input.value = '' }})
  const area = h('button', {type: 'button', class: 'ed-area', onclick: () => input.click()},
    h('strong', {}, 'Choose photos'), h('span', {}, 'or drop them here, or paste one'))
  const cam = navigator.mediaDevices?.getUserMedia && h('button', {type: 'button', class: 'ed-camera', onclick: () => camera(take, say)}, 'Use the camera')
  const said = h('p', {class: 'ed-said', role: 'status'})
  const box = h('div', {class: 'ed'}, area, input, cam, said)

  function say(text, wrong = false) { said.textContent = text; said.classList.toggle('ed-wrong', wrong) }
  function busy(yes) { box.classList.toggle('ed-busy', yes); box.setAttribute('aria-busy', yes) }

  function ask(msg, data) { // Did Python answer?
    const id = ++count
    return new Promise(done => {
      const timer = setTimeout(() => done(false), PATIENCE)
      answered = got => { if (got === id) { clearTimeout(timer); done(true) } }
      model.send({...msg, id}, undefined, data ? [data] : [])
    })
  }
  async function batch(files) {
    const n = Math.min(files.length, MOST)
    busy(true)
    for (let i = 0; i < n; i++) {
      say(n > 1 ? `${i + 1} of ${n}` : '')
      let problem = ''
      const data = await bytes(files[i]).catch(e => { problem = `${files[i].name}: ${e.message}` })
      if (!await ask({do: 'photo', name: files[i].name, i, n, problem}, data)) return fail(files.length - i)
    }
    busy(false)
    say(files.length > n ? `These were the first ${n} of ${files.length} photos; give the others in another go.` : '', files.length > n)
  }
  function fail(left) {
    busy(false)
    say(`The server does not answer (${left} ${left > 1 ? 'photos' : 'photo'} not looked at). Load the page again.`, true)
  }
  function take(files) { if (files.length) last = last.then(() => batch(files)) }
  async function example(i) {
    busy(true)
    say('')
    if (await ask({do: 'example', i})) busy(false); else fail(1)
  }

  const files = e => [...(e.dataTransfer ?? e.clipboardData)?.files ?? []]
  const on = {
    dragenter: e => { e.preventDefault(); depth++; box.classList.add('ed-over') },
    dragleave: () => { if (--depth <= 0) { depth = 0; box.classList.remove('ed-over') } },
    dragover: e => e.preventDefault(),
    drop: e => { e.preventDefault(); depth = 0; box.classList.remove('ed-over'); take(files(e)) },
  }
  const paste = e => { if (files(e).length && (voila || box.contains(document.activeElement))) { e.preventDefault(); take(files(e)) } }
  for (const [k, f] of Object.entries(on)) (where ?? box).addEventListener(k, f)
  document.addEventListener('paste', paste)
  const heard = msg => answered?.(msg.done)
  model.on('msg:custom', heard)

  const pictures = model.get('pictures')
  if (pictures.length) box.append(h('p', {class: 'ed-title'}, model.get('title')), h('div', {class: 'ed-examples'},
    pictures.map(([alt, src], i) => h('button', {type: 'button', 'aria-label': alt, onclick: () => { last = last.then(() => example(i)) }}, h('img', {src, alt: '', width: 72, height: 72})))))
  el.append(box)
  return () => {
    for (const [k, f] of Object.entries(on)) (where ?? box).removeEventListener(k, f)
    document.removeEventListener('paste', paste)
    model.off('msg:custom', heard)
  }
}

export default {render}
