/**
 * A few small things which pages and the service worker both must know, kept in IndexedDB: a worker has no localStorage.
 *
 * A browser may have no database to give (some private windows, a full disk), or one that does not answer. Then these
 * throw, and whoever calls goes on without.
 */
import { pause } from "./backoff.js";

const DATABASE = "eyeline";
const STORE = "kept";
const DEADLINE_MS = 2000;

let opening = null;

/** What is kept under the key, or undefined. */
export function kept(key) {
  return inStore("readonly", (store, settle) => {
    const reading = store.get(key);
    reading.onsuccess = () => settle(reading.result);
  });
}

/** Keeps what `make` gives for the value so far (undefined: nothing). One transaction, so nobody comes between. */
export function keep(key, make) {
  return inStore("readwrite", (store, settle) => {
    const reading = store.get(key);
    reading.onsuccess = () => {
      const value = make(reading.result);
      if (value === undefined) store.delete(key);
      else store.put(value, key);
      settle(value);
    };
  });
}

/** Resolves when the transaction is done, with what `work` settled on. */
function inStore(mode, work) {
  const done = opened().then(
    (database) =>
      new Promise((resolve, reject) => {
        const transaction = database.transaction(STORE, mode);
        let result;
        transaction.oncomplete = () => resolve(result);
        transaction.onerror = transaction.onabort = () => reject(transaction.error);
        work(transaction.objectStore(STORE), (value) => {
          result = value;
        });
      }),
  );
  return Promise.race([done, tooSlow()]);
}

function opened() {
  opening ??= open().catch((error) => {
    opening = null;
    throw error;
  });
  return opening;
}

function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onerror = () => reject(request.error);
    request.onsuccess = () => {
      request.result.onclose = () => {
        opening = null; // the person cleared the site's data: the next look opens a new one
      };
      resolve(request.result);
    };
  });
}

async function tooSlow() {
  await pause(DEADLINE_MS);
  throw new Error("the database does not answer");
}
