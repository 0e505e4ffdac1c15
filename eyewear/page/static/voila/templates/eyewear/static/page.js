// What a page does about its server: waits quietly for its widgets, says when the kernel is gone, gives the kernel back when the visitor leaves
const OUTPUT = 'script[type="application/vnd.voila.cell-output+json"]'
const GONE = 'This page has ended: the server has closed it, or has started anew.'
const LOST = 'The connection to the server is lost. This page tries to get it back.'
const SLOW = 'This takes longer than it should.'
const WRONG = 'Something went wrong on the server, and your last step may be lost.'
const LARGE = 'That file is too large: at most 20 MB can be sent.'
const MOST = 21 * 2 ** 20 // bytes of a message that the server takes: a file of 20 MB, and what is said of it
const byId = id => document.getElementById(id)
const base = () => document.body.dataset.baseUrl

function notice(text) {
  byId('notice').hidden = !text
  byId('notice').firstElementChild.textContent = text
}

// The server hangs up on a message that is too large, which would lose the page its connection: better not to send it
const send = WebSocket.prototype.send
WebSocket.prototype.send = function (data) {
  if ((data.byteLength ?? data.size ?? data.length) > MOST) return notice(LARGE)
  send.call(this, data)
}

// Light or dark, as the visitor's system is
const dark = matchMedia('(prefers-color-scheme: dark)')
function theme() {
  document.body.dataset.jpThemeLight = String(!dark.matches)
  document.body.dataset.jpThemeName = dark.matches ? 'JupyterLab Dark' : 'JupyterLab Light'
}
dark.addEventListener('change', theme)
theme()

// Voila calls this when its scripts are up; then the kernel is connected and the widgets are drawn
window.cellLoaded = true
window.voila_finish = () => show()

function drawn() {
  if (document.querySelector(OUTPUT)) return false
  return [...document.querySelectorAll('.jp-OutputArea-output')].every(o => o.childElementCount || o.textContent)
}

let kernel, ended = false
function show(since = performance.now()) {
  const late = window.jupyterapp && performance.now() - since > 20000 // until Voila is up, a busy machine may still bring the kernel
  if (!kernel && (kernel = window.jupyterapp?.widgetManager?.kernel)) watch()
  if (!late && !(kernel && drawn())) return setTimeout(show, 30, since)
  document.body.classList.remove('loading')
  document.body.classList.toggle('gone', !kernel)                 // no widget can be drawn: only their names would show
  if (!kernel) end()
  else if (!ended) notice('')
}

setTimeout(() => { if (document.body.classList.contains('loading') && byId('notice').hidden) notice(SLOW) }, 30000)

// The kernel, and the connection to it
function end() { ended = true; notice(GONE) }

function watch() {
  let timer
  kernel.statusChanged.connect((_, status) => { if (['dead', 'restarting', 'autorestarting'].includes(status)) end() })
  kernel.iopubMessage.connect((_, msg) => { if (msg.header.msg_type === 'error' && !ended) notice(WRONG) })
  kernel.connectionStatusChanged.connect((_, status) => {
    clearTimeout(timer)
    if (ended) return
    if (status === 'connected') notice('')
    else timer = setTimeout(() => ended || notice(LOST), 5000)
  })
}

// Leaving: the kernel goes back at once, and a page that the browser kept comes back new
addEventListener('pagehide', () => {
  const config = byId('jupyter-config-data')
  if (config) navigator.sendBeacon(`${base()}leave/${JSON.parse(config.textContent).kernelId}`)
})
addEventListener('pageshow', e => { if (e.persisted) location.reload() })
document.addEventListener('click', e => { if (e.target.closest('#notice button')) location.reload() })
