/**
 * BERT's tokenizer: the same word pieces as `bert_glue_tf/data/wordpiece.py`, which has the
 * reference of google-research/bert (tokenization.py) in TensorFlow. For browsers and Node.
 *
 *     const tokenizer = new Tokenizer(await (await fetch("vocab.txt")).text(), {lowerCase: true});
 *     tokenizer.encode(["The cat sat."], 32);   // {ids, typeIds, cut}
 *
 * docs/tokenization.md says what becomes of odd characters. Which of them are marks, blanks or
 * punctuation is told by the Unicode tables of the browser.
 */

/** Longer words, in characters after the normalization, are one [UNK]. */
const MAX_CHARACTERS_PER_WORD = 200;
const CONTINUATION = "##";
const SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"];

// Control and format characters vanish, but tab, line feed and carriage return, which are blanks;
// so do U+FFFD and halves of surrogate pairs, which stand for no character.
const DROPPED = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd\p{Cf}\p{Cs}]/gu;
const MARKS = /\p{Mn}/gu;
// Each character of these is a word of its own: punctuation (that of ASCII with its symbols, and
// Unicode's categories P), and the CJK blocks.
const ALONE =
  "[!-/:-@\\[-`{-~\\p{P}" +
  "\\u{4e00}-\\u{9fff}\\u{3400}-\\u{4dbf}\\u{20000}-\\u{2a6df}\\u{2a700}-\\u{2b73f}" +
  "\\u{2b740}-\\u{2b81f}\\u{2b820}-\\u{2ceaf}\\u{f900}-\\u{faff}\\u{2f800}-\\u{2fa1f}]";
// Any other blank than these, as U+0085, is a control character and gone by then.
const BLANK = "[\\t\\n\\r\\p{Zs}\\p{Zl}\\p{Zp}]+";
const BORDERS = new RegExp(`(${ALONE})|${BLANK}`, "u");

export class Tokenizer {
  /**
   * @param {string} vocabulary content of vocab.txt: a piece a line, in the order of their ids.
   * @param {{lowerCase: boolean, stripAccents?: boolean}} options
   *   lowerCase: texts are lower-cased ("uncased"); stripAccents: accents are taken off the
   *   letters, by default as lowerCase says.
   */
  constructor(vocabulary, {lowerCase, stripAccents = lowerCase}) {
    const pieces = vocabulary.replace(/\n$/, "").split("\n");
    this.ids = new Map(pieces.map((piece, id) => [piece, id]));
    this.longest = pieces.reduce((longest, piece) => Math.max(longest, piece.length), 0);
    this.lowerCase = lowerCase;
    this.stripAccents = stripAccents;
    const missing = SPECIAL.filter((piece) => !this.ids.has(piece));
    if (missing.length) throw new Error(`no vocabulary of BERT: it has no ${missing.join(", ")}`);
    const [padding, unknown, start, separator] = SPECIAL.map((piece) => this.ids.get(piece));
    Object.assign(this, {padding, unknown, start, separator});
  }

  /** Return the words of a text, normalized. */
  words(text) {
    text = text.replace(DROPPED, "");
    if (this.lowerCase) text = text.toLowerCase();
    if (this.stripAccents) text = text.normalize("NFD").replace(MARKS, "");
    return text.split(BORDERS).filter(Boolean);
  }

  /** Return the ids of the pieces of a text, without [CLS] and [SEP]. */
  pieces(text) {
    return this.words(text).flatMap((word) => this.split(word));
  }

  /** Return the ids of a word's pieces, from its start the longest each time, or one [UNK]. */
  split(word) {
    const characters = [...word];
    if (characters.length > MAX_CHARACTERS_PER_WORD) return [this.unknown];
    const found = [];
    for (let start = 0; start < characters.length; ) {
      const prefix = start ? CONTINUATION : "";
      let end = Math.min(characters.length, start + this.longest);
      let id;
      for (; end > start; end--) {
        id = this.ids.get(prefix + characters.slice(start, end).join(""));
        if (id !== undefined) break;
      }
      if (id === undefined) return [this.unknown];
      found.push(id);
      start = end;
    }
    return found;
  }

  /**
   * Return what BERT reads of one text or of a pair: `[CLS] a [SEP]` or `[CLS] a [SEP] b [SEP]`.
   *
   * @param {string[]} texts one or two.
   * @param {number} length pieces at most, with [CLS] and [SEP].
   * @param {"head" | "tail" | "head_tail"} truncation which pieces of a longer text are read.
   * @return {{ids: number[], typeIds: number[], cut: boolean}}
   *   typeIds: 0 for the first text, 1 for the second; cut: whether pieces were left out.
   */
  encode(texts, length, truncation = "head") {
    const all = texts.map((text) => this.pieces(text));
    const kept = truncate(all, length - 1 - texts.length, truncation);
    const ids = [this.start];
    const typeIds = [0];
    kept.forEach((pieces, type) => {
      for (const id of [...pieces, this.separator]) {
        ids.push(id);
        typeIds.push(type);
      }
    });
    return {ids, typeIds, cut: kept.some((pieces, i) => pieces.length < all[i].length)};
  }

  /**
   * Return the three inputs of a file, padded to one of its lengths, by their names.
   *
   * @param {{ids: number[], typeIds: number[]}} encoded from `encode`.
   * @param {number} length of the rows, at least as many as there are ids.
   * @return {Object<string, Int32Array>}
   */
  inputs({ids, typeIds}, length) {
    return {
      input_word_ids: new Int32Array(length).fill(this.padding).map((id, i) => ids[i] ?? id),
      input_mask: new Int32Array(length).fill(1, 0, ids.length),
      input_type_ids: new Int32Array(length).map((_, i) => typeIds[i] ?? 0),
    };
  }
}

/** Return the pieces that are kept: one at a time goes from the longer text, or from the second. */
export function truncate(texts, limit, truncation) {
  const room = texts.map(() => limit);
  if (texts.length === 2) {
    const half = Math.floor(limit / 2);
    room[0] = Math.max(limit - half, limit - texts[1].length);
    room[1] = Math.max(half, limit - texts[0].length);
  }
  return texts.map((pieces, i) => {
    if (pieces.length <= room[i]) return pieces;
    const heads = {head: room[i], tail: 0, head_tail: Math.floor(room[i] / 4)};
    if (!(truncation in heads)) throw new Error(`truncation: ${truncation} is not known`);
    const head = heads[truncation];
    return [...pieces.slice(0, head), ...pieces.slice(pieces.length - (room[i] - head))];
  });
}
