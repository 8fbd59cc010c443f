/**
 * What a .tflite file of this project says of itself: the JSON under `bert_glue_tf` in it.
 *
 * A file is a flatbuffer (https://flatbuffers.dev/internals); the fields have the numbers of
 * TensorFlow's schema.fbs.
 */

const IDENTIFIER = "TFL3";
const NAME = "bert_glue_tf";
const MODEL = {buffers: 4, metadata: 6};
const METADATA = {name: 0, buffer: 1};
const BUFFER = {data: 0};

/**
 * Return the metadata of a file.
 *
 * @param {Uint8Array} content of the file.
 * @return {object}
 * @throws {Error} it is no .tflite file, or one that this project has not exported.
 */
export function readMetadata(content) {
  const text = (start, end) => new TextDecoder().decode(content.subarray(start, end));
  if (text(4, 8) !== IDENTIFIER) throw new Error("it is no .tflite file");
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  const follow = (at) => at + view.getUint32(at, true);
  // Where a table has a field; 0 where it has none.
  const field = (table, number) => {
    const layout = table - view.getInt32(table, true);
    const place = 4 + 2 * number;
    const offset = place < view.getUint16(layout, true) ? view.getUint16(layout + place, true) : 0;
    return offset && table + offset;
  };
  // A vector or a string that a field refers to: its start and its number of elements.
  const vector = (table, number) => {
    const at = field(table, number);
    if (!at) return [0, 0];
    return [follow(at) + 4, view.getUint32(follow(at), true)];
  };
  const element = ([start], index) => follow(start + 4 * index);

  const model = follow(0);
  const entries = vector(model, MODEL.metadata);
  for (let i = 0; i < entries[1]; i++) {
    const entry = element(entries, i);
    const [name, letters] = vector(entry, METADATA.name);
    if (text(name, name + letters) !== NAME) continue;
    const at = field(entry, METADATA.buffer);
    const number = at ? view.getUint32(at, true) : 0;
    const [start, bytes] = vector(element(vector(model, MODEL.buffers), number), BUFFER.data);
    return JSON.parse(text(start, start + bytes));
  }
  throw new Error(`it holds no metadata named ${NAME}, so it is no file that export_tflite wrote`);
}
