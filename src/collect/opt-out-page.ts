// The opt-out page: plain HTML, no script, nothing of the request in it.

export type OptOutStatus = { readonly opted_out: boolean; readonly gpc: boolean }

const STYLE =
  'body{font:1.1rem/1.5 system-ui,sans-serif;max-width:38rem;margin:3rem auto;padding:0 1rem}button{font:inherit;padding:.5rem 1rem}'

export const optOutPage = ({ opted_out, gpc }: OptOutStatus): string => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Opt out</title>
<style>${STYLE}</style>
<h1>${opted_out ? 'You have opted out' : 'You have not opted out'}</h1>
<p>Sites that use this service tell it which of their pages a browser visits, under a random number in a cookie. It holds no name, no e-mail address,
no telephone number and no full IP address, and forgets after 90 days.</p>
${gpc ? '<p>Your browser sends Global Privacy Control. We honour it on every site, whatever you choose here.</p>' : ''}
${
  opted_out
    ? `<p>This browser is not recognised, nothing new is kept, and what was kept leaves all audiences. We remember the choice in a cookie that is the same for
everyone who opts out; if you delete it, please opt out again.</p>
<form method="post" action="/optin"><button>Opt in again</button></form>`
    : `<p>Opting out ends this at once, on all sites. Some browsers keep cookies apart by site; there the site’s own privacy settings reach what this page cannot.</p>
<form method="post" action="/optout"><button>Opt out</button></form>`
}
</html>
`
