import { defaultSettings, readSettings, samplingFields } from './settings.js'
import { browserStorage } from './storage.js'

const storage = browserStorage()

/** The settings in force; kept in the browser. The API key lies there in the clear, as the page says. */
export const settings = $state(readSettings(storage.read('settings', {})))

export const saveSettings = () => storage.write('settings', settings)

export function resetSampling() {
  for (const { name } of samplingFields) settings[name] = defaultSettings[name]
  saveSettings()
}
