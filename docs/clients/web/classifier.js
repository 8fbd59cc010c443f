/**
 * A classifier from an exported .tflite file, in the browser: texts in, labels out.
 *
 *     import {Classifier, start} from "./classifier.js";
 *
 *     await start("./litert/wasm/");
 *     const classifier = await Classifier.load("dynamic_int8.tflite", "vocab.txt");
 *     const {label, probabilities} = await classifier.classify(["The cat sat."]);
 */

import {loadAndCompile, loadLiteRt, Tensor} from "@litertjs/core";
import {readMetadata} from "./metadata.js";
import {Tokenizer} from "./tokenizer.js";

const SIGNATURE = /^length_(\d+)$/;
const KINDS = ["classification", "multi_label", "regression"];

/**
 * Load LiteRT's runtime, once in a page.
 *
 * Threads need SharedArrayBuffer, which browsers give to pages that come with the headers
 * `Cross-Origin-Opener-Policy: same-origin` and `Cross-Origin-Embedder-Policy: require-corp`.
 *
 * @param {string} wasm address of the folder wasm/ of @litertjs/core.
 * @return {Promise<{threads: boolean}>}
 */
export async function start(wasm) {
  if (typeof WebAssembly !== "object") {
    throw new Error("this browser has no WebAssembly, or it is switched off");
  }
  const threads = globalThis.crossOriginIsolated === true;
  await loadLiteRt(wasm, {threads});
  return {threads};
}

export class Classifier {
  /**
   * Load a file and its vocabulary, and answer the file's own examples to check both.
   *
   * @param {string} file address of the .tflite file.
   * @param {string} vocabulary address of its vocab.txt.
   * @param {number} threads of LiteRT; one where `start` says that there are no threads.
   * @return {Promise<Classifier>}
   * @throws {Error} a file cannot be loaded, or answers in another way than where it was exported.
   */
  static async load(file, vocabulary, threads = 1) {
    const [content, pieces] = await Promise.all([fetched(file), fetched(vocabulary)]);
    let metadata;
    try {
      metadata = readMetadata(content);
    } catch (error) {
      throw new Error(`${file}: ${error.message}`);
    }
    if (!metadata.tokenizer || !metadata.golden) {
      throw new Error(
        `${file}: does not say how it takes texts, as files of older versions; export it again`,
      );
    }
    if (!KINDS.includes(metadata.kind)) {
      throw new Error(`${file}: answers of the kind ${metadata.kind} are not known here`);
    }
    await checkVocabulary(pieces, vocabulary, metadata.vocabulary_sha256);
    const tokenizer = new Tokenizer(new TextDecoder().decode(pieces), {
      lowerCase: metadata.tokenizer.lower_case,
      stripAccents: metadata.tokenizer.strip_accents,
    });
    let model;
    try {
      const cpuOptions = {numThreads: threads};
      model = await loadAndCompile(content, {accelerator: "wasm", cpuOptions});
    } catch (error) {
      throw new Error(`${file}: LiteRT cannot load it (${error.message ?? error})`);
    }
    const classifier = new Classifier(model, metadata, tokenizer, content.length);
    await classifier.check(file);
    return classifier;
  }

  constructor(model, metadata, tokenizer, bytes) {
    Object.assign(this, {model, metadata, tokenizer, bytes});
    /** The lengths in word pieces that the file can run at, ascending. */
    this.lengths = Object.keys(model.signatures)
      .flatMap((key) => SIGNATURE.exec(key)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => a - b);
    /** What a user of the file should know; empty where there is nothing. */
    this.notes = [];
  }

  /**
   * Return the answer to one text, or to a pair.
   *
   * @param {string[]} texts as many as `metadata.texts`.
   * @return {Promise<{label: string, probabilities: Map<string, number>, score: number,
   *   milliseconds: number, pieces: number, length: number, cut: boolean}>}
   *   probabilities: empty where the answer is a number; score: that of the label, or the number;
   *   milliseconds: of tokenizer and model; length: of the signature that was run.
   * @throws {Error} the file answers with values that are not numbers.
   */
  async classify(texts) {
    const before = performance.now();
    const encoded = this.encode(texts);
    const {values, length} = await this.run(encoded);
    const milliseconds = performance.now() - before;
    if (!values.every(Number.isFinite)) {
      throw new Error("it answers with values that are not numbers; do not use this file");
    }
    const {cut, ids} = encoded;
    return {...answerTo(this.metadata, values), milliseconds, length, pieces: ids.length, cut};
  }

  encode(texts) {
    return this.tokenizer.encode(texts, this.lengths.at(-1), this.metadata.truncation);
  }

  /** Return the output for encoded texts, at the shortest length that holds them. */
  async run(encoded) {
    const length = this.lengths.find((one) => one >= encoded.ids.length);
    const tensors = {};
    const inputs = this.tokenizer.inputs(encoded, length);
    for (const [name, row] of Object.entries(inputs)) tensors[name] = new Tensor(row, [1, length]);
    let outputs = {};
    try {
      outputs = await this.model.run(`length_${length}`, tensors);
      return {values: [...(await outputs[this.metadata.output].data())], length};
    } finally {
      // The memory of LiteRT is not JavaScript's: nobody else gives it back.
      for (const tensor of [...Object.values(tensors), ...Object.values(outputs)]) tensor.delete();
    }
  }

  /** Answer the examples that stand in the file, with their pieces and answers. */
  async check(file) {
    const {golden, kind, labels, output, texts, tolerance, tokenizer} = this.metadata;
    const {values} = await this.run(this.encode(texts.map(() => "")));
    if (kind !== "regression" && values.length !== labels.length) {
      throw new Error(`${file}: damaged: ${values.length} outputs for ${labels.length} labels`);
    }
    for (const example of golden) {
      const said = example.texts.map((text) => JSON.stringify(text.slice(0, 60))).join(", ");
      if (this.encode(example.texts).ids.join() !== example.ids.join()) {
        if (tokenizer.kind === "reference") {
          throw new Error(`${file}: other word pieces than where it was exported, of ${said}`);
        }
        this.notes = [
          "This file's encoder came with a tokenizer of its own, which splits some rare " +
            "characters in another way than this page.",
        ];
      }
      const {values} = await this.run({ids: example.ids, typeIds: example.type_ids});
      const isSame = (value, there) =>
        Math.abs(value - there) <= tolerance * Math.max(1, Math.abs(there));
      if (!values.every((value, i) => isSame(value, example[output][i]))) {
        throw new Error(
          `${file}: answers ${said} with ${values.join(", ")}, and with ` +
            `${example[output].join(", ")} where it was exported`,
        );
      }
    }
  }

  /** Give the memory back. */
  delete() {
    this.model.delete();
  }
}

/** Return label, probabilities and score of a file's output, as `predict` has them. */
function answerTo(metadata, output) {
  const {kind, labels, threshold} = metadata;
  if (kind === "regression") {
    return {label: output[0].toFixed(3), probabilities: new Map(), score: output[0]};
  }
  const values = metadata.output === "logits" ? activated(kind, output) : output;
  // A map keeps the order of the labels, also of those that are numbers.
  const probabilities = new Map(labels.map((label, i) => [label, values[i]]));
  const score = Math.max(...values);
  if (kind === "multi_label") {
    const found = labels.filter((_, i) => values[i] >= threshold);
    return {label: found.join(", ") || "none", probabilities, score};
  }
  return {label: labels[values.indexOf(score)], probabilities, score};
}

/** Return the probabilities that logits stand for. */
function activated(kind, logits) {
  if (kind === "multi_label") return logits.map((value) => 1 / (1 + Math.exp(-value)));
  const largest = Math.max(...logits);
  const powers = logits.map((value) => Math.exp(value - largest));
  const sum = powers.reduce((total, value) => total + value, 0);
  return powers.map((value) => value / sum);
}

async function fetched(address) {
  let answer;
  try {
    answer = await fetch(address);
  } catch (error) {
    throw new Error(`${address}: cannot be loaded (${error.message})`);
  }
  if (!answer.ok) throw new Error(`${address}: cannot be loaded (status ${answer.status})`);
  return new Uint8Array(await answer.arrayBuffer());
}

async function checkVocabulary(content, name, expected) {
  if (!crypto.subtle) return; // Only of pages from https:// or this machine; the examples remain.
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  const found = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  if (found !== expected) throw new Error(`${name}: it is not the vocabulary of this file`);
}
