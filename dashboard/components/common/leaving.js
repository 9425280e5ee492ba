// Going to another address of this dashboard.

/**
 * Streamlit changes pages over its socket, and follows the browser's history: so no page is loaded again, and Back
 * leads back in one step.
 * @param {string} href @param {boolean} [instead] in place of this entry of the history, not after it
 */
export function openAddress(href, instead) {
  const url = new URL(href, window.location.origin);
  const { history, location } = window;
  if (url.href !== location.href) {
    if (instead) history.replaceState({}, "", url);
    else history.pushState({}, "", url);
  }
  window.dispatchEvent(new PopStateEvent("popstate", { state: {} }));
}
