/**
 * The page: loads the files that models.json names, and answers the texts that are typed.
 *
 * models.json is `{"vocabulary": "vocab.txt", "files": ["float32.tflite", "dynamic_int8.tflite"]}`;
 * `make web-demo` writes it.
 */

const SHOWN = 6; // Bars of a classifier with many labels: those that it holds most likely.
const byId = (id) => document.getElementById(id);
const loaded = []; // {classifier, card}
let asked = 0; // The number of the texts that were asked last; older answers are not shown.

async function open() {
  const {vocabulary, files} = await readList();
  // Here, so that a part which is missing is said in the page and not in the console alone.
  const {Classifier, start} = await import("./classifier.js").catch((error) => {
    throw new Error(`A part of the page cannot be loaded: ${error.message}`);
  });
  const {threads} = await start("./litert/wasm/").catch((error) => {
    throw new Error(`LiteRT cannot be started: ${error.message ?? "litert/wasm/ is not there"}.`);
  });
  const number = threads ? Math.max(1, Math.min(4, navigator.hardwareConcurrency)) : 1;
  byId("form").addEventListener("submit", (event) => {
    event.preventDefault();
    classify();
  });
  byId("form").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) classify();
  });
  for (const file of files) await add(Classifier, file, vocabulary, number);
  document.body.dataset.ready = String(loaded.length); // For those who wait for the page.
}

async function readList() {
  const answer = await fetch("models.json");
  if (!answer.ok) {
    throw new Error("models.json, which names the files, is not there; make web-demo writes it.");
  }
  const {vocabulary, files} = await answer.json();
  return {vocabulary, files};
}

/** Load a file into a card of its own, which also says what fails; the others are loaded then. */
async function add(Classifier, file, vocabulary, threads) {
  const card = byId("card").content.cloneNode(true).firstElementChild;
  byId("cards").append(card);
  card.querySelector("h2").textContent = file.replace(/\.tflite$/, "");
  const told = card.querySelector(".size");
  told.textContent = "Loading ...";
  let classifier;
  try {
    classifier = await Classifier.load(file, vocabulary, threads);
  } catch (error) {
    fail(card, error);
    return;
  }
  told.textContent = `${size(classifier.bytes)}, ${count(threads, "thread")}`;
  loaded.push({classifier, card});
  describe(classifier, card);
  if (loaded.length === 1) ask(classifier.metadata);
  await classify();
}

/** Say in a card what has failed. */
function fail(card, error) {
  const place = card.querySelector(".size");
  place.textContent = error.message ?? String(error);
  place.className = "size alert";
  place.setAttribute("role", "alert");
}

/** Make a field for each text of the task, with the first example of the file in it. */
function ask(metadata) {
  const names = metadata.texts.length === 1 ? ["Text"] : ["First text", "Second text"];
  const fields = names.map((name, i) => {
    const field = element("textarea", {id: `text-${i}`, rows: 3, spellcheck: false});
    field.value = metadata.golden[0]?.texts[i] ?? "";
    const box = element("div");
    box.append(element("label", {htmlFor: field.id, textContent: name}), field);
    return box;
  });
  byId("fields").replaceChildren(...fields);
  byId("send").disabled = false;
  document.title = `${metadata.task}: a text classifier in this page`;
  byId("about").textContent =
    `Task: ${metadata.task}. The model runs in this browser: what you type goes nowhere else.`;
}

/** Answer the texts in the fields with every file, one after the other. */
async function classify() {
  const number = ++asked;
  const texts = [...byId("fields").querySelectorAll("textarea")].map((field) => field.value);
  const answers = [];
  for (const {classifier, card} of loaded) {
    let answer;
    try {
      answer = await classifier.classify(texts);
    } catch (error) {
      fail(card, error);
      continue;
    }
    if (number !== asked) return;
    show(classifier, card, answer);
    answers.push(answer.label);
  }
  const isEmpty = !texts.some((text) => text.trim());
  byId("verdict").textContent = isEmpty ? "No text: the answer means nothing." : verdict(answers);
  document.body.dataset.answered = String(number);
}

/** Return in words what the files answer, together where there are several. */
function verdict(answers) {
  if (answers.length < 2) return answers.length ? `Answer: ${answers[0]}` : "";
  const {kind} = loaded[0].classifier.metadata;
  if (kind === "regression") return `Answers: ${answers.join("; ")}`;
  const all = answers.length === 2 ? "Both" : `All ${answers.length}`;
  if (new Set(answers).size === 1) return `${all} files answer: ${answers[0]}`;
  return `The files differ: ${answers.join("; ")}`;
}

function show(classifier, card, answer) {
  const {metadata} = classifier;
  card.querySelector(".answer").textContent = answer.label;
  const bars = card.querySelector(".bars");
  if (metadata.kind === "regression") showNumber(bars, metadata.scale, answer);
  else showProbabilities(bars, metadata, answer);
  const cut = answer.cut ? `; ${READ[metadata.truncation]} of a longer text were read` : "";
  card.querySelector(".cost").textContent =
    `${answer.milliseconds.toFixed(1)} ms for ${count(answer.pieces, "word piece")}${cut}, ` +
    `at length ${answer.length}`;
}
const READ = {
  head: "the first ones",
  tail: "the last ones",
  head_tail: "the first and the last ones",
};

function showProbabilities(bars, {kind, threshold}, answer) {
  const all = [...answer.probabilities];
  const several = kind === "multi_label";
  const isChosen = ([label, value]) => (several ? value >= threshold : label === answer.label);
  let shown = all;
  if (all.length > SHOWN) {
    const sorted = [...all].sort((a, b) => b[1] - a[1]);
    shown = sorted.filter((one, i) => i < SHOWN || (several && isChosen(one)));
  }
  const rows = shown.map((one) => {
    const row = bar(one[0], one[1], percent(one[1]));
    if (isChosen(one)) row.className = "chosen";
    if (several) {
      const mark = element("b");
      mark.style.left = `${100 * threshold}%`;
      row.querySelector(".bar").append(mark);
      if (isChosen(one)) row.querySelector(".name").prepend("✓ ");
    }
    return row;
  });
  if (several) rows.push(rest(`A label applies from ${percent(threshold)} on (the line).`));
  const left = all.length - shown.length;
  if (left) rows.push(rest(`${count(left, "label")} that are less likely`));
  bars.className = "bars";
  bars.replaceChildren(...rows);
}

/** Show a number on the scale of the training's labels. */
function showNumber(bars, scale, answer) {
  bars.className = "bars number";
  if (!scale) return bars.replaceChildren();
  const [low, high] = scale;
  const share = Math.min(1, Math.max(0, (answer.score - low) / (high - low)));
  const row = bar(String(low), share, String(high));
  row.className = "chosen";
  bars.replaceChildren(row, rest(`The labels of its training are from ${low} to ${high}.`));
}

function bar(name, share, value) {
  const row = element("li");
  const track = element("span", {className: "bar"});
  const filled = element("i");
  filled.style.width = `${100 * share}%`;
  track.append(filled);
  track.setAttribute("aria-hidden", "true"); // The number beside it says the same.
  row.append(
    element("span", {className: "name", textContent: name}),
    track,
    element("span", {className: "value", textContent: value}),
  );
  return row;
}

const rest = (text) => element("li", {className: "rest", textContent: text});

/** Show the notes and the facts of a file. */
function describe(classifier, card) {
  const {metadata} = classifier;
  const notes = [...classifier.notes];
  if (metadata.data === "sample") {
    notes.push("Trained on the generated sample: what it says of other text means nothing.");
  }
  const list = card.querySelector(".notes");
  list.replaceChildren(...notes.map((note) => element("li", {textContent: note})));
  list.hidden = !notes.length;
  const {tokenizer} = metadata;
  const facts = {
    Recipe: metadata.recipe,
    Encoder: metadata.encoder,
    Licence: metadata.licence,
    Run: metadata.source_run,
    "Runs at the lengths": classifier.lengths.join(", "),
    Tokenizer: tokenizer.lower_case ? "lower-cases the text" : "keeps upper and lower case",
    "Made by": metadata.made_by,
  };
  const rows = Object.entries(facts).map(([name, value]) => {
    const row = element("tr");
    const head = element("th", {scope: "row", textContent: name});
    row.append(head, element("td", {textContent: value}));
    return row;
  });
  card.querySelector("tbody").replaceChildren(...rows);
  card.querySelector("details").hidden = false;
}

function element(tag, values = {}) {
  return Object.assign(document.createElement(tag), values);
}
const count = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;
const size = (bytes) =>
  bytes < 1e5 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
const percent = (share) => `${(100 * share).toFixed(1)} %`;

try {
  await open();
} catch (error) {
  tell(`${error.message ?? error}`); // Of index.html, which shows it.
}
