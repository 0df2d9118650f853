/** Short sounds and vibration, made here: no files to load, nothing to wait for when it rings. */

/** [frequency in Hz, start in s, length in s] of each note. */
const TUNES = {
  ring: [[659, 0, 0.16], [784, 0.18, 0.16], [988, 0.36, 0.3]],
  waiting: [[440, 0, 0.12]],
  connected: [[523, 0, 0.12], [784, 0.13, 0.22]],
  ended: [[523, 0, 0.14], [349, 0.15, 0.26]],
  trouble: [[233, 0, 0.18], [233, 0.26, 0.18]],
  message: [[880, 0, 0.08]],
};
const BUZZES = { ring: [300, 150, 300], connected: [80, 60, 160], ended: [250], trouble: [120, 80, 120], message: [60] };
const VOLUMES = { ring: 0.3, waiting: 0.06, connected: 0.2, ended: 0.2, trouble: 0.2, message: 0.1 };

export class Sounds {
  #context = null;
  #loop = null;

  /** Browsers give sound only after the person did something: call it from a click. */
  async unlock() {
    this.#context ??= new AudioContext();
    if (this.#context.state !== "running") await this.#context.resume();
  }

  get unlocked() {
    return this.#context?.state === "running";
  }

  play(name) {
    if (BUZZES[name]) buzz(BUZZES[name]);
    if (this.unlocked) for (const note of TUNES[name]) this.#note(note, VOLUMES[name]);
  }

  /** Plays it every `everyMs` until `quiet`. */
  repeat(name, everyMs) {
    this.quiet();
    this.play(name);
    this.#loop = setInterval(() => this.play(name), everyMs);
  }

  quiet() {
    clearInterval(this.#loop);
    this.#loop = null;
    buzz(0);
  }

  #note([frequency, start, length], volume) {
    const at = this.#context.currentTime + 0.01 + start;
    const gain = new GainNode(this.#context, { gain: 0 });
    gain.gain.setValueAtTime(0, at);
    gain.gain.linearRampToValueAtTime(volume, at + 0.015);
    gain.gain.exponentialRampToValueAtTime(0.0001, at + length);
    const tone = new OscillatorNode(this.#context, { type: "triangle", frequency });
    tone.connect(gain).connect(this.#context.destination);
    tone.start(at);
    tone.stop(at + length + 0.02);
  }
}

/** Before the person has touched the page a browser refuses to vibrate, and says so in its console. */
function buzz(pattern) {
  if (navigator.userActivation?.hasBeenActive) navigator.vibrate?.(pattern);
}
