// What a component keeps between two calls.

/**
 * The state of the component mounted in an element: the one in `states`, or what `make` returns, whose node is added.
 * @template {{ node: HTMLElement }} State @param {WeakMap<HTMLElement, State>} states
 * @param {HTMLElement} parentElement @param {() => State} make
 */
export function stateIn(states, parentElement, make) {
  let state = states.get(parentElement);
  if (!state) {
    state = make();
    states.set(parentElement, state);
    parentElement.append(state.node);
  }
  return state;
}

/** @param {WeakMap<HTMLElement, { node: HTMLElement }>} states @param {HTMLElement} parentElement */
export function discardState(states, parentElement) {
  states.get(parentElement)?.node.remove();
  states.delete(parentElement);
}
