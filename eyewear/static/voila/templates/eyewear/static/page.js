// What a page does about its server: waits quietly for its widgets, says when the kernel is gone, gives the kernel back when the visitor leaves
const OUTPUT = 'script[type="application/vnd.voila.cell-output+json"]'
const GONE = 'This page has ended: the server has closed it, or has started anew.'
const LOST = 'The connection to the server is lost. This page tries to get it back.'
const SLOW = 'This takes longer than it should.'
const byId = id => document.getElementById(id)
const base = () => document.body.dataset.baseUrl

function notice(text) {
  byId('notice').hidden = !text
  byId('notice').firstElementChild.textContent = text
}

// Light or dark, as the visitor's system is
const dark = matchMedia('(prefers-color-scheme: dark)')
function theme() {
  document.body.dataset.jpThemeLight = String(!dark.matches)
  document.body.dataset.jpThemeName = dark.matches ? 'JupyterLab Dark' : 'JupyterLab Light'
}
dark.addEventListener('change', theme)
theme()

// Voila calls this when its scripts are up
window.cellLoaded = true
window.voila_finish = () => { watch(); show() }

function drawn() {
  if (document.querySelector(OUTPUT)) return false
  return [...document.querySelectorAll('.jp-OutputArea-output')].every(o => o.childElementCount || o.textContent)
}

function show(since = performance.now()) {
  if (!drawn() && performance.now() - since < 20000) return setTimeout(show, 30, since)
  document.body.classList.remove('loading')
  if (byId('notice').textContent.includes(SLOW)) notice('')
}

setTimeout(() => { if (document.body.classList.contains('loading') && byId('notice').hidden) notice(SLOW) }, 30000)

// The kernel and the connection to it
function watch() {
  const kernel = window.jupyterapp?.widgetManager?.kernel
  if (!kernel) return notice(GONE)
  let timer, ended = false
  const end = () => { ended = true; clearTimeout(timer); notice(GONE) }
  const onStatus = (_, status) => { if (['dead', 'restarting', 'autorestarting'].includes(status)) end() }
  const onConnection = (_, status) => {
    clearTimeout(timer)
    if (ended) return
    if (status === 'connected') notice('')
    else timer = setTimeout(notice, 5000, LOST)
  }
  kernel.statusChanged.connect(onStatus)
  kernel.connectionStatusChanged.connect(onConnection)
  if (kernel.connectionStatus !== 'connected') onConnection(kernel, kernel.connectionStatus)
}

// Leaving: the kernel goes back at once, and a page that the browser kept comes back new
addEventListener('pagehide', () => {
  const config = byId('jupyter-config-data')
  if (config) navigator.sendBeacon(`${base()}leave/${JSON.parse(config.textContent).kernelId}`)
})
addEventListener('pageshow', e => { if (e.persisted) location.reload() })
document.addEventListener('click', e => { if (e.target.closest('#notice button')) location.reload() })
