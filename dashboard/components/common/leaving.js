// Going to another address of this dashboard. Addresses are relative to the page's, as proxies may put a prefix before
// them that the server does not know; each page's path has one part below the prefix, so they mean the same on all.

/** @param {string} href */
export function isOwn(href) {
  try {
    return new URL(href, document.baseURI).origin === window.location.origin;
  } catch {
    return false;
  }
}

/**
 * Streamlit changes pages over its socket, and follows the browser's history: so no page is loaded again, and Back
 * leads back in one step.
 * @param {string} href @param {boolean} [instead] in place of this entry of the history, not after it
 */
export function openAddress(href, instead) {
  const url = new URL(href, document.baseURI);
  const { history, location } = window;
  if (url.href !== location.href) {
    if (instead) history.replaceState({}, "", url);
    else history.pushState({}, "", url);
  }
  window.dispatchEvent(new PopStateEvent("popstate", { state: {} }));
}

/**
 * Opens a link as the browser would, without loading the page again; with a key for another tab it is the browser's.
 * @param {MouseEvent} event @param {string} href
 */
export function followLink(event, href) {
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
  event.preventDefault();
  openAddress(href);
}
