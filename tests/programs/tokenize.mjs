/**
 * Program: tokenize texts with docs/clients/web/tokenizer.js.
 *
 * Reads from standard input, as JSON: {vocabulary (content), lowerCase, stripAccents, length,
 * truncation, texts: [[one or two], ...]}. Writes [{ids, typeIds, cut, words}, ...].
 */

import {readFileSync} from "node:fs";
import {Tokenizer} from "../../docs/clients/web/tokenizer.js";

const {vocabulary, texts, length, truncation, ...options} = JSON.parse(readFileSync(0, "utf8"));
const tokenizer = new Tokenizer(vocabulary, options);
const found = texts.map((pair) => ({
  ...tokenizer.encode(pair, length, truncation),
  words: pair.map((text) => tokenizer.words(text)),
}));
process.stdout.write(JSON.stringify(found));
