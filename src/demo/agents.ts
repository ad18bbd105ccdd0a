// Who the sample visitors and robots say they are.

export type Browser = { readonly agent: string; readonly share: number }

const WEBKIT = 'AppleWebKit/537.36 (KHTML, like Gecko)'
const chrome = (system: string, version: number, mobile = ''): string =>
  `Mozilla/5.0 (${system}) ${WEBKIT} Chrome/${version}.0.0.0 ${mobile}Safari/537.36`
const safari = (system: string, version: string, rest: string): string =>
  `Mozilla/5.0 (${system}) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/${version} ${rest}`

/** Shares roughly as a European publisher sees them: half phones, one tablet in fifteen. */
export const BROWSERS: readonly Browser[] = [
  { share: 20, agent: chrome('Windows NT 10.0; Win64; x64', 152) },
  { share: 5, agent: chrome('Windows NT 10.0; Win64; x64', 150) },
  { share: 6, agent: `${chrome('Windows NT 10.0; Win64; x64', 152)} Edg/152.0.0.0` },
  { share: 1, agent: `${chrome('Windows NT 10.0; Win64; x64', 150)} OPR/134.0.0.0` },
  { share: 4, agent: 'Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:153.0) Gecko/20100101 Firefox/153.0' },
  { share: 2, agent: 'Mozilla/5.0 (X11; Linux x86_64; rv:152.0) Gecko/20100101 Firefox/152.0' },
  { share: 5, agent: chrome('Macintosh; Intel Mac OS X 10_15_7', 152) },
  { share: 6, agent: safari('Macintosh; Intel Mac OS X 10_15_7', '26.1', 'Safari/605.1.15') },
  { share: 18, agent: safari('iPhone; CPU iPhone OS 18_7 like Mac OS X', '26.1', 'Mobile/15E148 Safari/604.1') },
  { share: 4, agent: safari('iPhone; CPU iPhone OS 17_6 like Mac OS X', '17.6', 'Mobile/15E148 Safari/604.1') },
  { share: 18, agent: chrome('Linux; Android 10; K', 152, 'Mobile ') },
  {
    share: 4,
    agent: `Mozilla/5.0 (Linux; Android 10; K) ${WEBKIT} SamsungBrowser/29.0 Chrome/136.0.0.0 Mobile Safari/537.36`,
  },
  { share: 1, agent: 'Mozilla/5.0 (Android 16; Mobile; rv:153.0) Gecko/153.0 Firefox/153.0' },
  { share: 4, agent: safari('iPad; CPU OS 17_6 like Mac OS X', '17.6', 'Mobile/15E148 Safari/604.1') },
  { share: 2, agent: chrome('Linux; Android 14; SM-X710', 152) },
]

export const LANGUAGES: readonly { readonly header: string; readonly share: number }[] = [
  { share: 6, header: 'en-GB,en;q=0.9' },
  { share: 5, header: 'de-DE,de;q=0.9,en;q=0.7' },
  { share: 3, header: 'fr-FR,fr;q=0.9,en-US;q=0.6' },
  { share: 2, header: 'es-ES,es;q=0.9' },
  { share: 2, header: 'it-IT,it;q=0.9,en;q=0.5' },
  { share: 2, header: 'nl-NL,nl;q=0.9,en;q=0.8' },
  { share: 1, header: 'en-US,en;q=0.9' },
]

/** Robots that say what they are. */
export const BOTS: readonly string[] = [
  'Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)',
  `Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) ${WEBKIT} Chrome/152.0.0.0 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)`,
  `Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm) Chrome/150.0.0.0 Safari/537.36`,
  `Mozilla/5.0 ${WEBKIT}; compatible; GPTBot/1.2; +https://openai.com/gptbot`,
  'Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)',
  'Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)',
  'facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)',
  `Mozilla/5.0 (X11; Linux x86_64) ${WEBKIT} HeadlessChrome/152.0.0.0 Safari/537.36`,
  'python-requests/2.32.3',
]
